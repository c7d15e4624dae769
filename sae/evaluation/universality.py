"""Whether two models that differ in their seed alone have the same features."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae.activations.shard import ActivationShard
from sae.dictionaries.dictionary import Dictionary
from sae.errors import AtlasError
from sae.evaluation.intervals import median_interval
from sae.evaluation.measures import Measure

_ROWS = 8192
_SPARSE = 1e-3
"""Share of pairs of entries that are both active, below which a sparse product is the faster one."""
_SAME = ("document_id", "position", "token_id")


@dataclass(frozen=True, eq=False)
class Correlations:
    """Of each latent of one dictionary that is ever active, the largest Pearson correlation with one of another's."""

    found: NDArray[np.float64]
    shuffled: NDArray[np.float64]
    """The same with the other's tokens moved against the first one's: what chance gives."""
    n_tokens: int


def universality(features: Correlations, neurons: Correlations, other: str) -> Measure:
    """`universality`: median over features of the largest activation correlation with a feature of `other`.

    Bricken et al. 2023, "Towards Monosemanticity", "Universality": the Pearson correlation of activations over the same
    tokens, the maximum over the other model's features. The control is the same of the two models' neurons; chance is
    in the details.
    """
    return Measure(
        "universality",
        _median(features.found),
        len(features.found),
        median_interval(features.found) if len(features.found) else None,
        _median(neurons.found),
        {
            "unit": "live features",
            "interval": "order statistics",
            "control": "neurons",
            "other": other,
            "n_tokens": features.n_tokens,
            "deciles": _deciles(features.found),
            "neuron_deciles": _deciles(neurons.found),
            "n_neurons": len(neurons.found),
            "shuffled": _median(features.shuffled),
            "shuffled_neurons": _median(neurons.shuffled),
            "above_half": float((features.found > 0.5).mean()) if len(features.found) else None,
            "neurons_above_half": float((neurons.found > 0.5).mean()) if len(neurons.found) else None,
        },
    )


def without_other(missing: str) -> Measure:
    """`universality` where there is nothing to measure it with: `missing` has no accepted dictionary."""
    return Measure("universality", None, 0, details={"unit": "live features", "missing": missing})


@torch.no_grad()
def max_correlations(
    one: Dictionary, other: Dictionary, shards: Iterable[tuple[ActivationShard, ActivationShard]]
) -> Correlations:
    """Over all tokens of pairs of shards, each of one model, that are trainable in both.

    Memory: two matrices of latents × latents. Raises AtlasError where two shards do not hold the same tokens.
    """
    products, shuffled = (np.zeros((one.d_sae, other.d_sae)) for _ in range(2))
    sums = [np.zeros((2, dictionary.d_sae)) for dictionary in (one, other)]
    n = 0
    for shard, its in shards:
        if not shard.tokens.select(_SAME).equals(its.tokens.select(_SAME)):
            raise AtlasError("Two models can be compared over the same tokens only; theirs are cut in another way.")
        kept = shard.trainable & its.trainable
        for (start, x), (_, y) in zip(shard.blocks(_ROWS), its.blocks(_ROWS), strict=True):
            rows = kept[start : start + len(x)]
            codes = one.encode(x[rows]), other.encode(y[rows])
            products += _product(*codes)
            shuffled += _product(codes[0], codes[1].roll(max(1, len(codes[1]) // 2), dims=0))
            for total, values in zip(sums, codes, strict=True):
                total += torch.stack([values.sum(dim=0), values.square().sum(dim=0)]).double().numpy()
            n += int(rows.sum())
    found = [_largest(matrix, sums, n) for matrix in (products, shuffled)]
    return Correlations(*found, n_tokens=n)


def pearson(products: NDArray[np.float64], sums: Sequence[NDArray[np.float64]], n: int) -> NDArray[np.float64]:
    """Correlations [a, b] from Σ f g [a, b] and, for each side, Σ f and Σ f² [2, ·]; NaN where one is constant."""
    (sum_a, square_a), (sum_b, square_b) = sums
    variance_a, variance_b = n * square_a - sum_a**2, n * square_b - sum_b**2
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.sqrt(np.maximum(variance_a, 0)[:, None] * np.maximum(variance_b, 0)[None])
        return np.where(scale > 0, (n * products - np.outer(sum_a, sum_b)) / scale, np.nan)


def _largest(products: NDArray[np.float64], sums: Sequence[NDArray[np.float64]], n: int) -> NDArray[np.float64]:
    correlation = pearson(products, sums, n)
    alive = ~np.isnan(correlation).all(axis=1)
    return np.nanmax(correlation[alive], axis=1) if alive.any() else np.zeros(0)


def _product(one: Tensor, other: Tensor) -> NDArray[np.float64]:
    if float((one > 0).float().mean() * (other > 0).float().mean()) < _SPARSE:
        return np.asarray((sp.csr_matrix(one.numpy()).T @ sp.csr_matrix(other.numpy())).toarray(), np.float64)
    return (one.T @ other).double().numpy()


def _median(values: NDArray[np.float64]) -> float | None:
    return float(np.median(values)) if len(values) else None


def _deciles(values: NDArray[np.float64]) -> list[float]:
    return [round(float(value), 4) for value in np.quantile(values, np.arange(0, 1.01, 0.1))] if len(values) else []
