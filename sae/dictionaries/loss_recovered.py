"""How much of a model's work survives when a dictionary's reconstruction takes the place of what it read."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sae.dictionaries.dictionary import Dictionary
from sae.errors import AtlasError
from sae.models.encoding import Encoded
from sae.models.hookpoints import hook_module, replaced_output
from sae.models.inputs import cut_windows, length_buckets
from sae.models.subject import Subject, collate, logits

Baseline = Callable[[Tensor], Tensor]
"""What takes the place of the chosen activations [m, d]."""


@dataclass(frozen=True)
class LossRecovered:
    """Cross-entropies in nats a predicted token, all over the same tokens."""

    ce_original: float
    ce_spliced: float
    """With reconstructions in place of the activations."""
    ce_zero: float
    """With zeros in place of the activations: the baseline of `loss_recovered`."""
    ce_mean: float | None
    """With the mean activation in their place, where one was given: a harder baseline, for comparison."""
    n_documents: int
    n_predicted: int
    n_replaced: int
    """Positions whose activation was replaced."""

    @property
    def ce_delta(self) -> float:
        """CE_spliced − CE_original."""
        return self.ce_spliced - self.ce_original

    @property
    def loss_recovered(self) -> float:
        """(CE_zero − CE_spliced) / (CE_zero − CE_original): 1 loses nothing, 0 is as bad as zeros.

        NaN where zeros do no harm, so that there is nothing to recover.
        """
        return _recovered(self.ce_zero, self.ce_spliced, self.ce_original)

    @property
    def loss_recovered_from_mean(self) -> float | None:
        """The same with the mean as the baseline."""
        return None if self.ce_mean is None else _recovered(self.ce_mean, self.ce_spliced, self.ce_original)


def loss_recovered(
    subject: Subject,
    hookpoint: str,
    dictionary: Dictionary,
    encoded: Sequence[Encoded],
    *,
    mean: Tensor | None = None,
    massive_norm: float = math.inf,
    batch_tokens: int = 1024,
) -> LossRecovered:
    """Splice a dictionary into a model at a hookpoint and measure its next-token predictions (Bricken et al. 2023).

    Special tokens and massive activations, those whose L2 norm exceeds `massive_norm`, keep the original output in
    every variant, for the dictionary is not trained on them; the baselines replace exactly the positions that the
    reconstruction replaces. Predicted tokens are all but the first of a window, padding, special tokens and picture
    patches. Documents longer than the context, or than `batch_tokens`, are cut into windows. `mean` is raw, [d].

    Raises AtlasError where the documents hold no token to predict, or the dictionary does not fit the hookpoint.
    """
    return pooled(
        document_losses(
            subject,
            hookpoint,
            dictionary,
            encoded,
            mean=mean,
            massive_norm=massive_norm,
            batch_tokens=batch_tokens,
        )
    )


def document_losses(
    subject: Subject,
    hookpoint: str,
    dictionary: Dictionary,
    encoded: Sequence[Encoded],
    *,
    mean: Tensor | None = None,
    massive_norm: float = math.inf,
    batch_tokens: int = 1024,
) -> list[LossRecovered]:
    """`loss_recovered` of each document, in their order; one without a token to predict has `n_predicted` 0."""
    module = hook_module(subject, hookpoint)
    fitted = dictionary.to(subject.device)
    replacements: dict[str, Baseline | None] = {
        "original": None,
        "spliced": lambda x: fitted.decode(fitted.encode(x)),
        "zero": torch.zeros_like,
    }
    if mean is not None:
        there = mean.float().to(subject.device)
        replacements["mean"] = lambda x: there.expand_as(x)

    n = len(encoded)
    totals = {name: torch.zeros(n, dtype=torch.float64) for name in replacements}
    predicted, replaced = torch.zeros(n, dtype=torch.int64), torch.zeros(n, dtype=torch.int64)
    for inputs, ordinary, targets, documents in _batches(subject, encoded, batch_tokens):
        for name, replacement in replacements.items():
            splice = None if replacement is None else _Splice(replacement, ordinary, massive_norm, dictionary.d_in)
            with torch.inference_mode(), replaced_output(module, splice) if splice else nullcontext():
                scores = logits(subject, inputs)[:, :-1]
                losses = torch.zeros(targets.shape, dtype=torch.float64, device=targets.device)
                losses[targets] = F.cross_entropy(
                    scores[targets].float(), inputs["input_ids"][:, 1:][targets], reduction="none"
                ).double()
            totals[name].index_add_(0, documents, losses.sum(dim=1).cpu())
            if splice and name == "spliced":
                replaced.index_add_(0, documents, splice.chosen.sum(dim=1).cpu())
        predicted.index_add_(0, documents, targets.sum(dim=1).cpu())
    means = {name: (total / predicted.clamp(min=1)).tolist() for name, total in totals.items()}
    return [
        LossRecovered(
            ce_original=means["original"][document],
            ce_spliced=means["spliced"][document],
            ce_zero=means["zero"][document],
            ce_mean=means["mean"][document] if mean is not None else None,
            n_documents=1,
            n_predicted=int(predicted[document]),
            n_replaced=int(replaced[document]),
        )
        for document in range(n)
    ]


def loss_by_group(
    subject: Subject,
    hookpoint: str,
    dictionary: Dictionary,
    encoded: Sequence[Encoded],
    *,
    mean: Tensor | None = None,
    massive_norm: float = math.inf,
    n_groups: int = 25,
) -> list[LossRecovered]:
    """`loss_recovered` over `n_groups` groups of the documents, dealt out in turn: what an interval is made from.

    Documents without a token to predict are left out; there are fewer groups where there are fewer documents.
    """
    losses = document_losses(subject, hookpoint, dictionary, encoded, mean=mean, massive_norm=massive_norm)
    telling = [document for document in losses if document.n_predicted]
    return [pooled(telling[start::n_groups]) for start in range(max(1, min(n_groups, len(telling))))]


def pooled(groups: Sequence[LossRecovered]) -> LossRecovered:
    """The cross-entropies over the predicted tokens of all groups together. Raises AtlasError where there is none."""
    n = sum(group.n_predicted for group in groups)
    if not n:
        raise AtlasError("The held-out documents hold no token to predict, so the loss recovered cannot be measured.")

    def over_all(name: str) -> float:
        return sum(getattr(group, name) * group.n_predicted for group in groups) / n

    return LossRecovered(
        ce_original=over_all("ce_original"),
        ce_spliced=over_all("ce_spliced"),
        ce_zero=over_all("ce_zero"),
        ce_mean=None if any(group.ce_mean is None for group in groups) else over_all("ce_mean"),
        n_documents=sum(group.n_documents for group in groups),
        n_predicted=n,
        n_replaced=sum(group.n_replaced for group in groups),
    )


class _Splice:
    """Replaces a module's output [b, t, d] at the positions that dictionaries are trained on, `chosen`."""

    def __init__(self, replacement: Baseline, ordinary: Tensor, massive_norm: float, d_in: int):
        self._replacement = replacement
        self._ordinary = ordinary
        self._massive_norm = massive_norm
        self._d_in = d_in
        self.chosen = ordinary

    def __call__(self, output: Tensor) -> Tensor:
        if output.shape[-1] != self._d_in:
            raise AtlasError(f"The hookpoint has {output.shape[-1]} dimensions, the dictionary reads {self._d_in}.")
        self.chosen = self._ordinary & (output.float().norm(dim=-1) <= self._massive_norm)
        spliced = output.clone()
        spliced[self.chosen] = self._replacement(output[self.chosen].float()).to(output.dtype)
        return spliced


def _batches(
    subject: Subject, encoded: Sequence[Encoded], batch_tokens: int
) -> Iterator[tuple[dict[str, Tensor], Tensor, Tensor, Tensor]]:
    """Collated inputs; bool [b, t], real positions that are not special; bool [b, t - 1], targets that count; and
    int64 [b], each row's document."""
    size = min(subject.codec.context_size, batch_tokens)
    cut = [(number, window) for number, document in enumerate(encoded) for window in cut_windows(document, size)]
    windows = [window.encoded for _, window in cut]
    for indices in length_buckets([len(window) for window in windows], batch_tokens):
        members = [windows[index] for index in indices]
        inputs = collate(subject, members)
        ordinary = torch.zeros(inputs["input_ids"].shape, dtype=torch.bool)
        text = torch.zeros_like(ordinary)
        for row, window in enumerate(members):
            ordinary[row, : len(window)] = ~torch.from_numpy(window.special)
            text[row, : len(window)] = torch.tensor([modality != "image" for modality in window.modalities])
        documents = torch.tensor([cut[index][0] for index in indices])
        yield inputs, ordinary.to(subject.device), (ordinary & text)[:, 1:].to(subject.device), documents


def _recovered(worst: float, spliced: float, original: float) -> float:
    return (worst - spliced) / (worst - original) if worst != original else math.nan
