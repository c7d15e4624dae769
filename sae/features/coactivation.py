"""Which features are active at the same positions: Jaccard index and pointwise mutual information of every pair."""

import numpy as np
import polars as pl
import scipy.sparse as sp
from numpy.typing import NDArray

from sae.features.frames import feature_columns

PAIRS_PER_ROW = 2_500
"""Mean number of pairs counted at a position. Codes with L0 above 50 are counted on a seeded share of the positions."""
DENSE_LATENTS = 8_192
"""Up to this width all counts are held (256 MiB)."""
SPARSE_PAIRS = 30_000_000
"""Above it at most so many pairs are held (360 MiB)."""


class PairCounts:
    """Counts of positions at which two features are active, in bounded memory.

    Up to DENSE_LATENTS latents the counts are exact. Above, counts of rare pairs are dropped as the table fills (lossy
    counting: Manku and Motwani 2002), so that a pair's count may be short by what stood when it was last dropped.
    """

    def __init__(self, d_sae: int, seed: int):
        self._d_sae = d_sae
        self._dense = np.zeros((d_sae, d_sae), np.int32) if d_sae <= DENSE_LATENTS else None
        self._sparse = sp.csr_matrix((d_sae, d_sae), dtype=np.int32)
        self._rng = np.random.default_rng(seed)
        self._active = np.zeros(d_sae, np.int64)
        self._n_rows = 0

    def add(self, codes: sp.csr_matrix) -> None:
        """Count the pairs of codes [n, d_sae]."""
        codes = self._within_budget(codes)
        self._n_rows += len(codes.indptr) - 1
        self._active += np.bincount(codes.indices, minlength=self._d_sae)
        ones = sp.csr_matrix((np.ones(codes.nnz, np.int32), codes.indices, codes.indptr), shape=codes.shape)
        pairs = (ones.T @ ones).tocsr()
        if self._dense is not None:
            rows = np.repeat(np.arange(self._d_sae), np.diff(pairs.indptr))
            self._dense[rows, pairs.indices] += pairs.data
        else:
            self._sparse = _at_most(self._sparse + pairs, SPARSE_PAIRS)

    def closest(self, size: int, dictionary_id: str) -> pl.DataFrame:
        """The `size` features with the largest Jaccard index for each feature: the frame `coactivations`.

        jaccard = n_ij / (n_i + n_j − n_ij); pmi = log2(n_ij · n / (n_i · n_j)), in bits, over n counted positions.
        """
        found: list[tuple[NDArray[np.int64], ...]] = []
        for feature in np.flatnonzero(self._active):
            others, together = self._pairs_of(int(feature))
            jaccard = together / (self._active[feature] + self._active[others] - together)
            order = np.lexsort((others, -jaccard))[:size]
            found.append((np.full(len(order), feature), np.arange(1, len(order) + 1), others[order], together[order]))
        empty = (np.empty(0, np.int64),) * 4
        feature, rank, other, together = (np.concatenate(part) for part in zip(empty, *found, strict=True))
        n_feature, n_other = self._active[feature], self._active[other]
        return pl.DataFrame(
            {
                **feature_columns(dictionary_id, feature),
                "rank": rank.astype(np.int32),
                "other_id": feature_columns(dictionary_id, other)["feature_id"],
                "jaccard": together / (n_feature + n_other - together),
                "pmi": np.log2(together * float(self._n_rows) / (n_feature * n_other.astype(np.float64))),
            }
        )

    def _pairs_of(self, feature: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        if self._dense is not None:
            others = np.flatnonzero(self._dense[feature])
            together = self._dense[feature][others]
        else:
            row = slice(self._sparse.indptr[feature], self._sparse.indptr[feature + 1])
            others, together = self._sparse.indices[row], self._sparse.data[row]
        apart = others != feature
        return others[apart].astype(np.int64), together[apart].astype(np.int64)

    def _within_budget(self, codes: sp.csr_matrix) -> sp.csr_matrix:
        pairs = np.diff(codes.indptr).astype(np.int64) ** 2
        budget = PAIRS_PER_ROW * len(pairs)
        if pairs.sum() <= budget:
            return codes
        order = self._rng.permutation(len(pairs))
        fitting = int(np.searchsorted(np.cumsum(pairs[order]), budget, side="right"))
        return codes[np.sort(order[:fitting])]


def _at_most(counts: sp.csr_matrix, size: int) -> sp.csr_matrix:
    if counts.nnz <= size:
        return counts
    counts.data[counts.data <= np.partition(counts.data, counts.nnz // 2)[counts.nnz // 2]] = 0
    counts.eliminate_zeros()
    return counts
