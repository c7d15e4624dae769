"""From a site's activations to a dictionary in a folder, trained, measured and described."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor

from sae.activations.manifest import ActivationSet
from sae.activations.reader import ShuffledReader, held_out_batches
from sae.activations.source import ActivationSource
from sae.config import RecipeConfig
from sae.dictionaries.checkpoints import Checkpoints, train_resumably
from sae.dictionaries.dictionary import Dictionary
from sae.dictionaries.layout import save_dictionary
from sae.dictionaries.loss_recovered import LossRecovered, loss_by_group, pooled
from sae.dictionaries.metrics import DictionaryMetrics, evaluate
from sae.dictionaries.training import Training, TrainingPoint
from sae.models.encoding import Encoded
from sae.models.inputs import encode_documents
from sae.models.subject import Subject

LOSS_DOCUMENTS = 100
"""Held-out documents, those that the model reads, over which the loss recovered is measured."""
_MEASURED_ROWS = 4096
_CURVE_ROWS = 12


@dataclass(frozen=True, eq=False)
class BuiltDictionary:
    """A trained dictionary in its folder."""

    dictionary_id: str
    folder: Path
    facts: dict[str, Any]
    """`architecture`, `d_in`, `d_sae`, `k` (of all groups together; None for standard) and `tokens_trained`."""
    quality: dict[str, float | int | None]
    """`DictionaryMetrics` on held-out tokens and `LossRecovered` on held-out documents, by their names. Its
    `dead_fraction` is of latents silent on the held-out and the train tokens."""
    loss_groups: list[LossRecovered]
    """The loss recovered by groups of held-out documents, for its interval."""
    history: list[TrainingPoint]

    @property
    def curve(self) -> str:
        """The training in a dozen rows of markdown."""
        return curve_table(self.history)


def build_dictionary(
    recipe: RecipeConfig,
    activation_set: ActivationSet,
    source: ActivationSource,
    subject: Subject,
    documents: pl.DataFrame,
    folder: Path,
    provenance: Mapping[str, Any],
    checkpoints: Checkpoints,
    on_step: Callable[[int, int], None] = lambda done, total: None,
    warn: Callable[[str], None] = lambda words: None,
) -> BuiltDictionary:
    """Train on the set's train shards, measure on its held-out ones and on the first held-out `documents` by id.

    `recipe.seed` decides everything that is random (None is 0). Training goes on from the last of the `checkpoints`,
    saves one every `recipe.checkpoint_every` seconds and leaves them to the caller; `warn` is told of a damaged one.
    Written: SAELens' files, and `provenance` with the normalisation, the quality and the training's history added.
    Raises AtlasError as `train_resumably`, `evaluate` and `loss_recovered` do.
    """
    openers = {
        split: [partial(source.open, record) for record in activation_set.split(split)]
        for split in ("train", "held_out")
    }
    seed = recipe.seed or 0
    mean = torch.tensor(activation_set.mean)
    reader = ShuffledReader(openers["train"], recipe.batch, seed, recipe.tokens)
    training = partial(
        Training, recipe, activation_set.d_model, activation_set.scale, mean, seed=seed, device=subject.device
    )
    trained = train_resumably(training, reader, checkpoints, recipe.checkpoint_every, on_step, warn)
    readable = encode_documents(subject, documents.sort("document_id"))
    encoded = [one for _, one in islice(readable, LOSS_DOCUMENTS)]
    dictionary = _described(trained.dictionary, subject, activation_set.hookpoint, encoded)

    measured = evaluate(dictionary, held_out_batches(openers["held_out"], _MEASURED_ROWS))
    silent = still_silent(dictionary, measured.density == 0, held_out_batches(openers["train"], _MEASURED_ROWS))
    loss_groups = loss_by_group(
        subject,
        activation_set.hookpoint,
        dictionary,
        encoded,
        mean=mean,
        massive_norm=activation_set.massive_norm,
    )
    quality = _quality(measured, float(silent.double().mean()), pooled(loss_groups))
    facts = {
        "architecture": recipe.architecture,
        "d_in": dictionary.d_in,
        "d_sae": dictionary.d_sae,
        "k": sum(recipe.k) if isinstance(recipe.k, tuple) else recipe.k,
        "tokens_trained": trained.history[-1].tokens,
    }
    normalisation = {"kind": activation_set.normalisation, "scale": activation_set.scale}
    described = {**provenance, **facts, "normalisation": normalisation, "quality": quality}
    described["history"] = [vars(point) for point in trained.history]
    dictionary_id = save_dictionary(dictionary, folder, described, measured.density)
    return BuiltDictionary(dictionary_id, folder, facts, quality, loss_groups, trained.history)


@torch.no_grad()
def still_silent(dictionary: Dictionary, silent: Tensor, batches: Iterable[Tensor]) -> Tensor:
    """Which of the `silent` latents, bool [d_sae], stay silent on further batches; stops as soon as none is left."""
    silent = silent.clone()
    for x in batches:
        if not silent.any():
            break
        silent &= ~(dictionary.encode(x) > 0).any(dim=0)
    return silent


def curve_table(history: list[TrainingPoint]) -> str:
    """A training's history as a markdown table of at most a dozen rows, the last step among them."""
    every = max(1, math.ceil((len(history) - 1) / (_CURVE_ROWS - 1)))
    rows = history[::every] + ([] if (len(history) - 1) % every == 0 else history[-1:])
    lines = ["| step | tokens | loss | FVU | L0 | dead | learning rate |", "|---|---|---|---|---|---|---|"]
    lines += [
        f"| {p.step} | {p.tokens:,} | {p.loss:.4g} | {p.fvu:.4f} | {p.l0:.1f} | {p.dead_fraction:.1%} "
        f"| {p.learning_rate:.2g} |"
        for p in rows
    ]
    return "\n".join(lines)


def _described(dictionary: Dictionary, subject: Subject, hookpoint: str, encoded: list[Encoded]) -> Dictionary:
    metadata = {
        "model_name": subject.source,
        "model_revision": subject.revision,
        "hook_name": hookpoint,
        "hook_head_index": None,
        "context_size": subject.codec.context_size,
        "prepend_bos": bool(encoded and encoded[0].special[0]),
    }
    return replace(dictionary, metadata=metadata)


def _quality(
    measured: DictionaryMetrics, dead_fraction: float, recovered: LossRecovered
) -> dict[str, float | int | None]:
    quality: dict[str, float | int | None] = {
        "fvu": measured.fvu,
        "l0": measured.l0,
        "dead_fraction": dead_fraction,
        "cosine": measured.cosine,
        "relative_norm": measured.relative_norm,
        "n_tokens": measured.n_tokens,
        "ce_original": recovered.ce_original,
        "ce_spliced": recovered.ce_spliced,
        "ce_zero": recovered.ce_zero,
        "ce_mean": recovered.ce_mean,
        "ce_delta": recovered.ce_delta,
        "loss_recovered": recovered.loss_recovered,
        "loss_recovered_from_mean": recovered.loss_recovered_from_mean,
        "n_documents": recovered.n_documents,
        "n_predicted": recovered.n_predicted,
    }
    return {name: value if value is None or math.isfinite(value) else None for name, value in quality.items()}
