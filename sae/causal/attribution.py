"""Which features push the model towards its answer: attribution of a logit difference by one gradient.

Scaling Monosemanticity, "Features as computational intermediates": attr_i = f_i · (W_dec,i · ∇_x L), the first-order
effect on L of setting the feature to zero at its position, with L = logit(target) − logit(baseline) at the last one.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sae.causal.residual import logit_difference, read_positions, single_call, take_apart
from sae.dictionaries.dictionary import Dictionary
from sae.errors import AtlasError
from sae.models.encoding import Encoded
from sae.models.subject import Subject

_TOLERANCE = 1e-3
"""How far the parts may be from the whole, as a share of the sum of their magnitudes: float32 rounding is far below."""


@dataclass(frozen=True, eq=False)
class Attribution:
    """A logit difference and the m active (position, feature) pairs, the largest attribution first."""

    target_id: int
    baseline_id: int | None
    """None: the difference is to the mean logit."""
    logit_diff: float
    predicted_id: int
    """Token with the largest logit at the last position."""
    positions: Tensor
    """int64 [m]."""
    features: Tensor
    """int64 [m]."""
    activations: Tensor
    """float32 [m], in the dictionary's units."""
    attributions: Tensor
    """float32 [m], in logits; descending."""
    attributed: float
    """Sum of `attributions`."""
    bias_attribution: float
    """b_dec · ∇ summed over the positions that the dictionary reads."""
    error_attribution: float
    """error · ∇ summed over positions; where the dictionary does not read, all of x is error."""
    first_order: float
    """x · ∇ summed over positions: equal to `attributed` + `bias_attribution` + `error_attribution`."""

    @property
    def is_correct(self) -> bool:
        """Whether the model's prediction is the target."""
        return self.predicted_id == self.target_id

    def __len__(self) -> int:
        return len(self.positions)

    def strongest(self, count: int) -> Tensor:
        """int64 [min(count, m)]: rows with the largest |attribution|, ascending."""
        order = torch.argsort(self.attributions.abs(), descending=True, stable=True)
        return order[:count].sort().values


def attribute(
    subject: Subject,
    hookpoint: str,
    dictionary: Dictionary,
    encoded: Encoded,
    target_id: int,
    baseline_id: int | None = None,
    massive_norm: float = math.inf,
) -> Attribution:
    """Attribute the logit difference at the last position to every active feature: one forward, one backward.

    The dictionary is applied where `read_positions` says so (`massive_norm` is its limit).
    Raises AtlasError when the parts do not add up to the first-order change x · ∇.
    """
    x, gradient, scores = _gradient(subject, hookpoint, encoded, target_id, baseline_id)
    residual = take_apart(dictionary, x, read_positions(encoded.special, x, massive_norm))
    decoder = dictionary.W_dec[residual.features].float()
    attributions = residual.activations * (decoder * gradient[residual.positions]).sum(dim=1)
    order = torch.argsort(attributions, descending=True, stable=True)
    found = Attribution(
        target_id=target_id,
        baseline_id=baseline_id,
        logit_diff=float(logit_difference(scores, target_id, baseline_id)),
        predicted_id=int(scores.argmax()),
        positions=residual.positions[order],
        features=residual.features[order],
        activations=residual.activations[order],
        attributions=attributions[order],
        attributed=float(attributions.double().sum()),
        bias_attribution=_product(dictionary.b_dec.float().expand_as(x)[residual.read], gradient[residual.read]),
        error_attribution=_product(residual.error, gradient),
        first_order=_product(x, gradient),
    )
    scale = float((x.double() * gradient.double()).abs().sum() + attributions.double().abs().sum())
    _check_sum(found, scale)
    return found


def _gradient(
    subject: Subject, hookpoint: str, encoded: Encoded, target_id: int, baseline_id: int | None
) -> tuple[Tensor, Tensor, Tensor]:
    """x and ∇_x of the logit difference, float32 [t, d], and the last position's logits [v]."""
    leaves: list[Tensor] = []

    def leaf(x: Tensor) -> Tensor:
        leaves.append(x.detach().requires_grad_(True))
        return leaves[-1]

    with torch.enable_grad():
        scores = single_call(subject, hookpoint, leaf, encoded)[0]
        (gradient,) = torch.autograd.grad(logit_difference(scores, target_id, baseline_id), leaves[0])
    return leaves[0][0].detach().float(), gradient[0].float(), scores.detach()


def _check_sum(found: Attribution, scale: float) -> None:
    parts = found.attributed + found.bias_attribution + found.error_attribution
    if not math.isfinite(parts) or abs(parts - found.first_order) > _TOLERANCE * max(scale, 1e-12):
        raise AtlasError(
            f"The attributions, bias and error sum to {parts:.6g}, the first-order change is {found.first_order:.6g}: "
            "the dictionary's decode is not W_dec · f + b_dec, or the activations are not finite."
        )


def _product(a: Tensor, b: Tensor) -> float:
    return float((a.double() * b.double()).sum())
