"""How good a dictionary is at a site, whoever trained it: on held-out tokens, and spliced into the model."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import polars as pl
import torch
from torch import Tensor

from sae.activations.manifest import ActivationSet
from sae.activations.reader import held_out_batches
from sae.activations.source import ActivationSource
from sae.dictionaries.dictionary import Dictionary
from sae.dictionaries.loss_recovered import LossRecovered, loss_by_group, pooled
from sae.dictionaries.metrics import DictionaryMetrics, evaluate
from sae.models.encoding import Encoded
from sae.models.inputs import encode_documents
from sae.models.subject import Subject

LOSS_DOCUMENTS = 100
"""Held-out documents, those that the model reads, over which the loss recovered is measured."""
_MEASURED_ROWS = 4096
_LOSS = (
    "ce_original",
    "ce_spliced",
    "ce_zero",
    "ce_mean",
    "ce_delta",
    "loss_recovered",
    "loss_recovered_from_mean",
    "n_documents",
    "n_predicted",
)
"""What the quality says of the loss, by the names of `LossRecovered`."""


@dataclass(frozen=True, eq=False)
class Measured:
    """A dictionary with what was found of it."""

    dictionary: Dictionary
    """The same, with the model and the hookpoint in its metadata."""
    quality: dict[str, float | int | None]
    """`DictionaryMetrics` on held-out tokens and `LossRecovered` on held-out documents, by their names. Its
    `dead_fraction` is of latents silent on the held-out and the train tokens. Of a model that predicts no next token
    (an encoder) everything about the loss is None, `n_predicted` too: nothing was spliced."""
    loss_groups: list[LossRecovered]
    """The loss recovered by groups of held-out documents, for its interval; empty where nothing was spliced."""
    density: Tensor
    """float32 [d_sae]: share of the held-out tokens on which a latent is active."""


def measure_dictionary(
    dictionary: Dictionary,
    activation_set: ActivationSet,
    source: ActivationSource,
    subject: Subject,
    documents: pl.DataFrame,
) -> Measured:
    """Measure on the set's held-out shards, and on the first held-out `documents` by id.

    The loss is measured where the subject `predicts_next`: of other logits the next token's loss means nothing.
    Raises AtlasError as `evaluate` and `loss_by_group` do.
    """
    openers = {
        split: [partial(source.open, record) for record in activation_set.split(split)]
        for split in ("train", "held_out")
    }
    readable = encode_documents(subject, documents.sort("document_id"))
    encoded = [one for _, one in islice(readable, LOSS_DOCUMENTS)]
    described = _described(dictionary, subject, activation_set.hookpoint, encoded)
    found = evaluate(described, held_out_batches(openers["held_out"], _MEASURED_ROWS))
    silent = still_silent(described, found.density == 0, held_out_batches(openers["train"], _MEASURED_ROWS))
    loss_groups: list[LossRecovered] = []
    if subject.predicts_next:
        loss_groups = loss_by_group(
            subject,
            activation_set.hookpoint,
            described,
            encoded,
            mean=torch.tensor(activation_set.mean),
            massive_norm=activation_set.massive_norm,
        )
    quality = _quality(found, float(silent.double().mean()), pooled(loss_groups) if loss_groups else None)
    return Measured(described, quality, loss_groups, found.density)


@torch.no_grad()
def still_silent(dictionary: Dictionary, silent: Tensor, batches: Iterable[Tensor]) -> Tensor:
    """Which of the `silent` latents, bool [d_sae], stay silent on further batches; stops as soon as none is left."""
    silent = silent.clone()
    for x in batches:
        if not silent.any():
            break
        silent &= ~(dictionary.encode(x) > 0).any(dim=0)
    return silent


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
    measured: DictionaryMetrics, dead_fraction: float, recovered: LossRecovered | None
) -> dict[str, float | int | None]:
    quality: dict[str, float | int | None] = {
        "fvu": measured.fvu,
        "l0": measured.l0,
        "dead_fraction": dead_fraction,
        "cosine": measured.cosine,
        "relative_norm": measured.relative_norm,
        "n_tokens": measured.n_tokens,
        **{name: None if recovered is None else getattr(recovered, name) for name in _LOSS},
    }
    return {name: value if value is None or math.isfinite(value) else None for name, value in quality.items()}
