"""The nearest rows of a very large matrix, approximately: an inverted file (Jégou et al. 2011, "IVFADC", §III).

The keys are divided among the centroids of a k-means; a query is compared exactly with the keys of its nearest cells.
faiss does it: the same seed and number of threads give the same neighbours, which a graph built by several threads
(HNSW) would not.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sae.errors import AtlasError
from sae.evaluation.measures import Measure, mean
from sae.features.nearest import nearest

CELLS = 4.0
"""Cells for a square root of the number of keys."""
PROBED = 1 / 16
"""Share of the cells that a query is compared with."""
_TRAINING_KEYS_PER_CELL = 64
SAMPLE = 500
"""Queries on which recall is measured."""


def approximately_nearest(
    queries: Tensor, keys: Tensor, size: int, exclude_same: bool, seed: int
) -> tuple[Tensor, Tensor]:
    """As `nearest`, but some of the nearest may be missing; their places are taken by the next ones that were found.

    Where a query finds fewer than asked, all search in twice as many cells. On the CPU. Raises AtlasError where faiss
    is not installed.
    """
    faiss = _faiss()
    size = max(min(size, len(keys) - exclude_same), 0)
    if not size or not len(queries):
        return torch.empty(len(queries), size), torch.empty(len(queries), size, dtype=torch.int64)
    left, right = (np.ascontiguousarray(part.float().cpu().numpy()) for part in (queries, keys))
    with _threads(faiss):
        index = faiss.IndexIVFFlat(
            faiss.IndexFlatIP(keys.shape[1]), keys.shape[1], _cells(len(keys)), faiss.METRIC_INNER_PRODUCT
        )
        index.cp.seed = seed % 2**31
        index.cp.min_points_per_centroid = 1
        index.cp.max_points_per_centroid = _TRAINING_KEYS_PER_CELL
        index.train(right)
        index.add(right)
        index.nprobe = max(1, round(index.nlist * PROBED))
        while True:
            cosines, indices = index.search(left, size + exclude_same)
            if exclude_same:
                cosines, indices = _without_own(cosines, indices)
            if (indices >= 0).all() or index.nprobe >= index.nlist:
                return torch.from_numpy(cosines), torch.from_numpy(indices)
            index.nprobe = min(2 * index.nprobe, index.nlist)


def recall_measure(
    queries: Tensor, keys: Tensor, indices: Tensor, exclude_same: bool, seed: int, sample: int = SAMPLE
) -> Measure:
    """`neighbors_recall`: share of the exact nearest that `indices` [n, k] hold, on queries drawn by the seed.

    The mean over queries, with the bootstrap's interval over them. A neighbour as near as the k-th exact one counts as
    found, whichever of equal ones it is. The control is the k of n others that chance would find.
    """
    size = indices.shape[1]
    drawn = np.sort(np.random.default_rng(seed).choice(len(queries), min(sample, len(queries)), replace=False))
    block = queries[drawn].float()
    # One more than asked: a query's own row is among the keys.
    exact, at = nearest(block, keys, min(size + exclude_same, len(keys)))
    if exclude_same:
        own = torch.from_numpy(drawn)[:, None]
        exact = exact.masked_fill(at == own, -torch.inf).sort(dim=1, descending=True).values[:, :size]
    found = (block[:, None] * keys[indices[drawn]].float()).sum(dim=2)
    # Products are summed in another order than in a tile: equal up to rounding.
    reached = (found >= exact[:, -1:] - 1e-6).double().mean(dim=1)
    measure = mean("neighbors_recall", reached.tolist(), "features", seed, nearest=size, index="IVF", keys=len(keys))
    return Measure(
        measure.metric,
        measure.value,
        measure.n,
        measure.interval,
        size / max(len(keys) - exclude_same, 1),
        measure.details | {"cells": _cells(len(keys)), "probed": PROBED, "control": "as many at random"},
    )


def _cells(n: int) -> int:
    return max(1, round(CELLS * n**0.5)) if n >= 16 else 1


def _without_own(cosines: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One column less: the query's own row, or the last where that was not found."""
    own = indices == np.arange(len(indices))[:, None]
    own[~own.any(axis=1), -1] = True
    shape = (len(indices), indices.shape[1] - 1)
    return cosines[~own].reshape(shape), indices[~own].reshape(shape)


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise AtlasError(
            "The approximate index needs faiss: `pip install faiss-cpu`.\n"
            "Or raise `neighbors.exact_below` in the config, and every pair of features is compared."
        ) from error
    return faiss


@contextmanager
def _threads(faiss: Any) -> Iterator[None]:
    """As many threads as torch has; faiss keeps a number of its own."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(torch.get_num_threads())
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
