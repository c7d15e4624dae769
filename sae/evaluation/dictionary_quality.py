"""How good a dictionary is, as rows of `evaluation` with intervals over held-out documents.

The definitions are those of `sae.dictionaries.metrics` and `sae.dictionaries.loss_recovered`; here they are summed by
document (or by a group of documents), which is what the bootstrap draws: tokens of one document are not independent.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl
import torch
from torch import Tensor

from sae.activations.shard import ActivationShard
from sae.dictionaries.dictionary import Dictionary
from sae.dictionaries.loss_recovered import LossRecovered
from sae.errors import AtlasError
from sae.evaluation.intervals import bootstrap_ratio
from sae.evaluation.measures import Measure, share

NEURON = 0.3
"""Correlation up to which a feature is like no neuron."""


def reconstruction_measures(dictionary: Dictionary, shards: Sequence[ActivationShard], seed: int) -> list[Measure]:
    """`fvu` and `l0` over the trainable tokens of held-out shards, with intervals by document.

    Raises AtlasError where there is no such token.
    """
    trainable = [shard.trainable for shard in shards]
    n_tokens = sum(int(mask.sum()) for mask in trainable)
    if not n_tokens:
        raise AtlasError("There is no held-out token to measure the dictionary on. Check the site's corpora.")
    total = torch.zeros(dictionary.d_in, dtype=torch.float64)
    for shard, mask in zip(shards, trainable, strict=True):
        for start, block in shard.blocks():
            total += block[mask[start : start + len(block)]].double().sum(dim=0)
    parts = [_by_document(dictionary, s, mask, total / n_tokens) for s, mask in zip(shards, trainable, strict=True)]
    sums = pl.concat(parts).group_by("document_id", maintain_order=True).sum()
    error, variance, active, tokens = (sums[name].to_numpy() for name in ("error", "variance", "active", "tokens"))
    details = {"unit": "documents", "interval": "bootstrap", "n_tokens": n_tokens}
    return [
        Measure("fvu", _ratio(error, variance), len(sums), bootstrap_ratio(error, variance, seed), None, details),
        Measure("l0", _ratio(active, tokens), len(sums), bootstrap_ratio(active, tokens, seed), None, details),
    ]


def dead_measure(features: pl.DataFrame, n_tokens: int) -> Measure:
    """`dead_fraction` of the table `features`: latents silent on all `n_tokens` tokens of the pinned manifest."""
    return share("dead_fraction", int(features["is_dead"].sum()), len(features), "latents", n_tokens=n_tokens)


def neuron_measure(features: pl.DataFrame) -> Measure:
    """`unlike_neurons`: share of live features whose largest |Pearson| with a dimension of the site is ≤ `NEURON`.

    Scaling Monosemanticity ("Features vs. neurons") finds 82% of its features so, against the neurons of all earlier
    layers; here the neurons are those of the hookpoint, which of a residual stream are its dimensions.
    """
    live = features.filter(~pl.col("is_dead"))["max_neuron_correlation"]
    unlike = int((live <= NEURON).sum())
    return share("unlike_neurons", unlike, len(live), "live features", correlation_at_most=NEURON)


def loss_measures(groups: Sequence[LossRecovered], seed: int) -> list[Measure]:
    """`loss_recovered` and `ce_delta` (nats a predicted token) over all groups of documents, with intervals by group.

    The control of `loss_recovered` is what the mean activation recovers, where it was spliced too. Without a group,
    which is so of a model that predicts no next token, neither has a value.
    """
    if not groups:
        unmeasured = {"unit": "documents", "missing": "the model predicts no next token"}
        return [Measure(metric, None, 0, details=unmeasured) for metric in ("loss_recovered", "ce_delta")]
    n = np.array([group.n_predicted for group in groups], dtype=np.float64)
    original, spliced, zero = (
        n * np.array([getattr(group, name) for group in groups]) for name in ("ce_original", "ce_spliced", "ce_zero")
    )
    details = {
        "unit": "documents",
        "interval": "bootstrap",
        "drawn": "groups of documents",
        "groups": len(groups),
        "n_predicted": int(n.sum()),
        "n_replaced": sum(group.n_replaced for group in groups),
        "ce_original": _ratio(original, n),
        "ce_spliced": _ratio(spliced, n),
        "ce_zero": _ratio(zero, n),
    }
    n_documents = sum(group.n_documents for group in groups)
    recovered = Measure(
        "loss_recovered",
        _ratio(zero - spliced, zero - original),
        n_documents,
        bootstrap_ratio(zero - spliced, zero - original, seed),
        details=details,
    )
    means = [group.ce_mean for group in groups if group.ce_mean is not None]
    if len(means) == len(groups):
        control = _ratio(zero - n * np.array(means), zero - original)
        recovered = replace(recovered, control=control, details=details | {"control": "mean activation"})
    delta = bootstrap_ratio(spliced - original, n, seed)
    return [recovered, Measure("ce_delta", _ratio(spliced - original, n), n_documents, delta, details=details)]


@torch.no_grad()
def _by_document(dictionary: Dictionary, shard: ActivationShard, trainable: Tensor, mean: Tensor) -> pl.DataFrame:
    """document_id, error, variance, active and tokens summed over the trainable rows of each document."""
    parts = []
    for start, x in shard.blocks(2048):
        mask = trainable[start : start + len(x)]
        kept = x[mask]
        codes = dictionary.encode(kept)
        parts.append(
            pl.DataFrame(
                {
                    "document_id": shard.tokens["document_id"][start : start + len(x)].filter(pl.Series(mask.numpy())),
                    "error": (kept - dictionary.decode(codes)).double().square().sum(dim=1).numpy(),
                    "variance": (kept.double() - mean).square().sum(dim=1).numpy(),
                    "active": (codes > 0).sum(dim=1).double().numpy(),
                    "tokens": np.ones(len(kept)),
                }
            )
        )
    return pl.concat(parts).group_by("document_id", maintain_order=True).sum()


def _ratio(above: np.ndarray, below: np.ndarray) -> float:
    return float(above.sum() / below.sum()) if below.sum() else math.nan
