"""The nearest rows of a very large matrix, approximately: short codes find candidates, exact products choose.

Product quantisation (Jégou et al. 2011) with four bits for four dimensions, scanned in registers (André et al. 2017,
"Quick ADC"); the best `RERANKED` times as many as asked are compared exactly. faiss does it: the same seed gives the
same neighbours. Decoder rows are nearly orthogonal: of the neighbours in a dictionary of SmolLM2 an inverted file that
reads a sixteenth of its cells found .43, these codes .99; a graph (HNSW) takes longer to build than the exact search.
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

RERANKED = 8
"""Candidates compared exactly, for each neighbour asked for."""
_DIMENSIONS = 4
"""Dimensions that share one code of four bits."""
_FEWEST = 1_024
"""Up to so many keys all are compared: 16 centroids for each code would have too few to learn from."""
SAMPLE = 500
"""Queries on which recall is measured."""


def approximately_nearest(
    queries: Tensor, keys: Tensor, size: int, exclude_same: bool, seed: int
) -> tuple[Tensor, Tensor]:
    """As `nearest`, but some of the nearest may be missing; their places are taken by the next ones that were found.

    On the CPU. Raises AtlasError where faiss is not installed.
    """
    faiss = _faiss()
    size = max(min(size, len(keys) - exclude_same), 0)
    if len(keys) <= _FEWEST:
        return nearest(queries, keys, size, exclude_same)
    left, right = _padded(queries), _padded(keys)
    d = right.shape[1]
    with _threads(faiss):
        codes = faiss.IndexPQFastScan(d, d // _DIMENSIONS, 4, faiss.METRIC_INNER_PRODUCT)
        codes.pq.cp.seed = seed % 2**31
        index = faiss.IndexRefineFlat(codes)
        index.train(right)
        index.add(right)
        asked = size + exclude_same
        index.k_factor = min(RERANKED, len(keys) / asked)
        cosines, indices = index.search(left, asked)
    if (indices < 0).any():
        raise AtlasError("A decoder row holds a value that is not finite: it has no neighbours. Train it again.")
    if exclude_same:
        cosines, indices = _without_own(cosines, indices)
    return torch.from_numpy(cosines), torch.from_numpy(indices)


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
    measure = mean("neighbors_recall", reached.tolist(), "features", seed, nearest=size, index="PQ", keys=len(keys))
    return Measure(
        measure.metric,
        measure.value,
        measure.n,
        measure.interval,
        size / max(len(keys) - exclude_same, 1),
        measure.details | {"reranked": RERANKED, "control": "as many at random"},
    )


def _padded(rows: Tensor) -> np.ndarray:
    """float32 [n, d'], with zeros up to whole codes, which change no product."""
    rows = torch.nn.functional.pad(rows.float(), (0, -rows.shape[1] % _DIMENSIONS))
    return np.ascontiguousarray(rows.cpu().numpy())


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
