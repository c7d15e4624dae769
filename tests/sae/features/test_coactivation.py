import numpy as np
import polars as pl
import scipy.sparse as sp

from sae.features import coactivation
from sae.features.coactivation import PairCounts


def _codes(seed, n=400, d=12, share=0.2):
    rng = np.random.default_rng(seed)
    active = rng.random((n, d)) < share
    active[:, 1] |= active[:, 0]
    return sp.csr_matrix(active.astype(np.float32))


def test_wide_dictionaries_are_counted_like_narrow_ones_while_the_table_holds(monkeypatch):
    narrow = PairCounts(12, seed=0)
    monkeypatch.setattr(coactivation, "DENSE_LATENTS", 4)
    wide = PairCounts(12, seed=0)

    for seed in range(3):
        narrow.add(_codes(seed))
        wide.add(_codes(seed))

    assert narrow.closest(5, "d").equals(wide.closest(5, "d"))


def test_a_full_table_keeps_the_frequent_pairs(monkeypatch):
    monkeypatch.setattr(coactivation, "DENSE_LATENTS", 4)
    monkeypatch.setattr(coactivation, "SPARSE_PAIRS", 60)
    counts = PairCounts(12, seed=0)

    for seed in range(3):
        counts.add(_codes(seed))

    first = counts.closest(1, "d").filter(pl.col("index") == 0)
    assert first["other_id"].to_list() == ["d:1"]


def test_dense_codes_are_counted_on_a_share_of_the_positions(monkeypatch):
    exact = PairCounts(12, seed=0)
    exact.add(_codes(0, n=20_000))
    monkeypatch.setattr(coactivation, "PAIRS_PER_ROW", 3)
    sampled = PairCounts(12, seed=0)
    sampled.add(_codes(0, n=20_000))

    both = exact.closest(11, "d").join(sampled.closest(11, "d"), on=["feature_id", "other_id"])
    assert len(both) == 12 * 11
    assert np.abs(both["jaccard"] - both["jaccard_right"]).max() < 0.03


def test_nothing_active_gives_an_empty_frame():
    counts = PairCounts(3, seed=0)
    counts.add(sp.csr_matrix((5, 3), dtype=np.float32))

    assert len(counts.closest(5, "d")) == 0
