"""Nearest features by the cosine of their decoder vectors (Scaling Monosemanticity, "Feature neighborhoods")."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sae.features.frames import feature_columns

_QUERIES = 1024
_KEYS = 8192


@dataclass(frozen=True)
class Directions:
    """Decoder vectors of the live features of one dictionary."""

    dictionary_id: str
    index: NDArray[np.int64]
    """[n]: which latents."""
    vectors: Tensor
    """[n, d]: unit vectors, row by row those of `index`."""


def live_directions(W_dec: Tensor, is_dead: NDArray[np.bool_], dictionary_id: str) -> Directions:
    """The live features of a dictionary; W_dec [d_sae, d_in], is_dead [d_sae]."""
    index = np.flatnonzero(~is_dead)
    return Directions(dictionary_id, index, F.normalize(W_dec[index].to(torch.float32), dim=1))


def nearest(queries: Tensor, keys: Tensor, size: int, exclude_same: bool = False) -> tuple[Tensor, Tensor]:
    """Cosine and index [n, size'] of the `size` nearest keys [m, d] of each query [n, d]; unit vectors.

    Exact: blocked products with a running top-k, so that memory is bounded whatever n and m are; size' = min(size, m),
    or m − 1 where a query's own row is left out (`exclude_same`: queries and keys are the same matrix).
    """
    size = min(size, len(keys) - exclude_same)
    cosines, indices = torch.empty(len(queries), size), torch.empty(len(queries), size, dtype=torch.int64)
    for start in range(0, len(queries), _QUERIES):
        block = queries[start : start + _QUERIES]
        best = torch.full((len(block), size), -torch.inf)
        where = torch.full((len(block), size), -1)
        for first in range(0, len(keys), _KEYS):
            similarity = block @ keys[first : first + _KEYS].T
            if exclude_same:
                low = max(start, first)
                own = torch.arange(low, max(low, min(start + len(block), first + similarity.shape[1])))
                similarity[own - start, own - first] = -torch.inf
            found, at = similarity.topk(min(size, similarity.shape[1]), dim=1)
            best, order = torch.cat([best, found], dim=1).topk(size, dim=1)
            where = torch.cat([where, at + first], dim=1).gather(1, order)
        cosines[start : start + _QUERIES], indices[start : start + _QUERIES] = best, where
    return cosines, indices


def neighbors_within(directions: Directions, size: int = 10) -> pl.DataFrame:
    """The frame `neighbors` of one dictionary, scope `same`: only live features have and are neighbours."""
    cosines, indices = nearest(directions.vectors, directions.vectors, size, exclude_same=True)
    return _frame(directions, directions, cosines, indices, "same")


def neighbors_across(directions: Directions, others: Sequence[Directions], size: int = 10) -> pl.DataFrame:
    """The frame `neighbors` from one dictionary to the others of its site, scope `cross`.

    The `size` nearest features of each other dictionary, ranked all together.
    """
    frames = [_frame(directions, other, *nearest(directions.vectors, other.vectors, size), "cross") for other in others]
    ordered = pl.concat(frames).sort("index", "similarity", "neighbor_id", descending=[False, True, False])
    return ordered.with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over("index").alias("rank"))


def _frame(queries: Directions, keys: Directions, cosines: Tensor, indices: Tensor, scope: str) -> pl.DataFrame:
    n, size = indices.shape
    return pl.DataFrame(
        {
            **feature_columns(queries.dictionary_id, np.repeat(queries.index, size)),
            "rank": np.tile(np.arange(1, size + 1, dtype=np.int32), n),
            "neighbor_id": feature_columns(keys.dictionary_id, keys.index[indices.flatten().numpy()])["feature_id"],
            "similarity": cosines.flatten().numpy(),
            "scope": pl.repeat(scope, n * size, dtype=pl.String, eager=True),
        }
    )
