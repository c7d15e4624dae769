"""What a map takes over from the one before it: where features stood, which way round it lay, clusters' numbers."""

from collections import Counter

import numpy as np
import polars as pl
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from sae.features.matches import CARRIED
from sae.features.nearest import nearest
from sae.features.neighbors import Directions

START = pl.Schema({"index": pl.Int32, "x": pl.Float32, "y": pl.Float32, "cluster_id": pl.Int32})
"""A feature of the new dictionary, and where the feature that it carries on stood on the last map."""
_ROUNDS = 10


def carried_places(directions: Directions, previous: Tensor, last: pl.DataFrame) -> pl.DataFrame:
    """The frame START: features that carry on one of the last map `last`, by their decoder rows.

    `previous` [d_sae, d] are the decoder rows of the last map's dictionary. Two features are each other's nearest, with
    a cosine of `CARRIED` or more: the map shows directions, so that activations have no say in it.
    """
    old = F.normalize(previous[last["index"].to_list()].float(), dim=1)
    if not len(old) or not len(directions.index):
        return START.to_frame()
    (cosines, to_old), (_, to_new) = nearest(directions.vectors, old, 1), nearest(old, directions.vectors, 1)
    mutual = to_new[to_old[:, 0], 0] == torch.arange(len(directions.index))
    rows = np.flatnonzero((mutual & (cosines[:, 0] >= CARRIED)).numpy())
    stood = last[to_old[rows, 0].numpy()]
    return (
        stood.with_columns(index=pl.Series(directions.index[rows]))
        .select(*START)
        .cast({name: START[name] for name in START})
    )


def filled_in(index: NDArray[np.int64], start: pl.DataFrame, graph: csr_array, seed: int) -> NDArray[np.float32] | None:
    """A place [n, 2] for every feature of `index` [n]: its own on the last map, or amid its neighbours' (`graph`).

    What no path of neighbours ties to a placed feature is scattered over the map. None where nothing was carried.
    """
    rows, placed = _rows(index, start)
    if not len(rows):
        return None
    known = np.zeros(len(index), bool)
    known[rows] = True
    places = np.zeros((len(index), 2))
    places[rows] = placed
    for _ in range(_ROUNDS):
        weights = np.asarray(graph @ known.astype(np.float64))
        reached = ~known & (weights > 0)
        if not reached.any():
            break
        places[reached] = np.asarray(graph @ (places * known[:, None]))[reached] / weights[reached, None]
        known |= reached
    low, high = placed.min(axis=0), placed.max(axis=0)
    random = np.random.default_rng(seed)
    places[~known] = random.uniform(low, high, (int((~known).sum()), 2))
    # Two features in one place would stay together; and umap wants an extent in both directions.
    places += random.normal(0, 1e-4 * max(float(np.ptp(placed)), 1e-3), places.shape)
    return places.astype(np.float32)


def aligned(index: NDArray[np.int64], places: NDArray[np.float32], start: pl.DataFrame) -> NDArray[np.float32]:
    """The places [n, 2] turned, scaled and shifted so that carried features lie as near as can be to where they stood.

    The orthogonal Procrustes problem with scaling (Schönemann and Carroll 1970).
    """
    rows, wanted = _rows(index, start)
    if len(rows) < 2:
        return places
    found = places[rows].astype(np.float64)
    centre, target = found.mean(axis=0), wanted.mean(axis=0)
    left, strengths, right = np.linalg.svd((found - centre).T @ (wanted - target))
    spread = np.square(found - centre).sum()
    if not spread:
        return places
    return ((places - centre) @ (left @ right) * (strengths.sum() / spread) + target).astype(np.float32)


def kept_numbers(index: NDArray[np.int64], clusters: NDArray[np.int64], start: pl.DataFrame) -> NDArray[np.int64]:
    """The clusters [n] under the numbers of the last map's clusters with which they share most carried features.

    Each number is given once, the largest overlap first; the other clusters take the lowest numbers that are free.
    """
    held = start.filter(pl.col("index").is_in(index.tolist()), pl.col("cluster_id") >= 0)
    rows = np.searchsorted(index, held["index"].to_numpy())
    shared = Counter(zip(clusters[rows].tolist(), held["cluster_id"].to_list(), strict=True))
    numbers: dict[int, int] = {}
    taken: set[int] = set()
    for (new, old), _ in sorted(shared.items(), key=lambda item: (-item[1], item[0])):
        if new >= 0 and new not in numbers and old not in taken:
            numbers[new] = old
            taken.add(old)
    free = 0
    for new in sorted(set(clusters.tolist()) - {-1} - set(numbers)):
        while free in taken:
            free += 1
        numbers[new] = free
        taken.add(free)
    return np.array([numbers.get(cluster, -1) for cluster in clusters.tolist()], dtype=np.int64)


def _rows(index: NDArray[np.int64], start: pl.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rows [m] of `index` that have a place on the last map, and the places [m, 2]."""
    held = start.filter(pl.col("index").is_in(index.tolist()))
    return np.searchsorted(index, held["index"].to_numpy()), held.select("x", "y").to_numpy().astype(np.float64)
