"""Nearest features by the cosine of their decoder vectors (Scaling Monosemanticity, "Feature neighborhoods")."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sae.evaluation.measures import Measure
from sae.features.approximate import approximately_nearest, recall_measure
from sae.features.frames import feature_columns
from sae.features.nearest import nearest

SIZE = 15
"""Neighbours kept of each feature: those that the map asks for."""
EXACT_BELOW = 200_000
"""Live features from which on an index is asked: up to there every pair is compared, in minutes on one core."""


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


def neighbors_within(
    directions: Directions, size: int = SIZE, exact_below: int = EXACT_BELOW, seed: int = 0
) -> tuple[pl.DataFrame, list[Measure]]:
    """The frame `neighbors` of one dictionary, scope `same`: only live features have and are neighbours.

    With `exact_below` live features or more an index is asked instead, and its recall is measured; the seed decides
    both.
    """
    vectors = directions.vectors
    if len(vectors) < exact_below:
        return _frame(directions, directions, *nearest(vectors, vectors, size, exclude_same=True), "same"), []
    cosines, indices = approximately_nearest(vectors, vectors, size, True, seed)
    measure = recall_measure(vectors, vectors, indices, True, seed)
    return _frame(directions, directions, cosines, indices, "same"), [measure]


def neighbors_across(
    directions: Directions,
    others: Sequence[Directions],
    size: int = SIZE,
    exact_below: int = EXACT_BELOW,
    seed: int = 0,
) -> pl.DataFrame:
    """The frame `neighbors` from one dictionary to the others of its site, scope `cross`.

    The `size` nearest features of each other dictionary, ranked all together; of one with `exact_below` live features
    or more, as an index finds them.
    """

    def found(other: Directions) -> tuple[Tensor, Tensor]:
        if len(other.vectors) < exact_below:
            return nearest(directions.vectors, other.vectors, size)
        return approximately_nearest(directions.vectors, other.vectors, size, False, seed)

    frames = [_frame(directions, other, *found(other), "cross") for other in others]
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
