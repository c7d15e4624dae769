"""Spearman's rank correlation."""

import numpy as np


def spearman(a: np.ndarray, b: np.ndarray) -> float | None:
    """Rank correlation of two series [n], ties at their average rank; None where one of them does not vary."""
    if len(a) != len(b):
        raise ValueError(f"series of {len(a)} and {len(b)} values")
    if len(a) < 2:
        return None
    ranks_a, ranks_b = _ranks(a), _ranks(b)
    ranks_a -= ranks_a.mean()
    ranks_b -= ranks_b.mean()
    scale = np.sqrt((ranks_a**2).sum() * (ranks_b**2).sum())
    return float(np.clip((ranks_a * ranks_b).sum() / scale, -1, 1)) if scale else None


def _ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]
