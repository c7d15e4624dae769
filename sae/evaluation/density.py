"""How often features are active: the histogram of densities, and the ultralow-density cluster in it."""

from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from sae.dictionaries.dictionary import Dictionary
from sae.evaluation.measures import Measure, share

_DECADES = 0.25
"""Width of a bin."""
_VALLEY = 0.5
"""Two modes are two where the bin between them holds at most this share of the lower one."""
_LEAST_SHARE = 0.01
"""Share of the live features that a mode must hold."""


def ultralow_density(dictionary: Dictionary, features: pl.DataFrame, n_tokens: int) -> Measure:
    """`ultralow_density`: share of live features in the ultralow-density cluster; 0 where there is one mode only.

    Bricken et al. 2023, "Towards Monosemanticity", "Feature density histogram" and "The ultralow density cluster": the
    log histogram of densities has a second mode, far below, whose features are also told apart by their encoder bias
    and by the cosine of encoder and decoder. Here the modes are parted at the `valley`, and the details say how well
    bias and cosine tell the two sides apart, as the chance that one of the cluster's is below one of the others'
    (.5 is none). A density below one in `n_tokens` cannot be seen: such features count as dead.
    """
    live = features.filter(~pl.col("is_dead")).sort("index")
    logs = np.log10(live["density"].to_numpy())
    latents = torch.from_numpy(live["index"].to_numpy(writable=True)).long()
    bias = dictionary.b_enc[latents].double().numpy()
    cosine = torch.cosine_similarity(dictionary.W_enc.T[latents], dictionary.W_dec[latents], dim=1).double().numpy()
    edges, counts = histogram(logs)
    threshold = valley(edges, counts)
    inside = np.zeros(len(logs), bool) if threshold is None else logs < threshold
    details: dict[str, Any] = {
        "n_tokens": n_tokens,
        "log10_density_edges": [round(float(edge), 4) for edge in edges],
        "counts": counts.tolist(),
        "log10_threshold": threshold,
        "n_dead": int(features["is_dead"].sum()),
        "median_density": _median(10**logs),
        "median_bias": {"cluster": _median(bias[inside]), "others": _median(bias[~inside])},
        "median_cosine": {"cluster": _median(cosine[inside]), "others": _median(cosine[~inside])},
        "told_apart_by": {"bias": below(bias[inside], bias[~inside]), "cosine": below(cosine[inside], cosine[~inside])},
    }
    return share("ultralow_density", int(inside.sum()), len(logs), "live features", **details)


def histogram(logs: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Edges [n + 1] and counts [n] of log10 densities in bins of a quarter of a decade, from a whole bin's edge."""
    if not len(logs):
        return np.zeros(1), np.zeros(0, np.int64)
    first = np.floor(logs.min() / _DECADES)
    n = int(np.floor(logs.max() / _DECADES) - first) + 1
    edges = (first + np.arange(n + 1)) * _DECADES
    counts = np.bincount((np.floor(logs / _DECADES) - first).astype(np.int64), minlength=n)
    return edges, counts


def valley(edges: NDArray[np.float64], counts: NDArray[np.int64]) -> float | None:
    """The log density that parts two modes: the middle of the deepest bin between them; None where there are not two.

    Counts are smoothed by (1, 2, 1)/4. A bin parts them where it holds at most half of the lower mode's highest bin,
    and each side at least 1% of all; the deepest such bin, of equal ones the lowest, is taken.
    """
    smooth = np.convolve(counts, [0.25, 0.5, 0.25], mode="same") if len(counts) else counts
    best: tuple[float, int] | None = None
    for at in range(1, len(counts) - 1):
        lower = min(smooth[:at].max(), smooth[at + 1 :].max())
        smaller = min(counts[:at].sum(), counts[at + 1 :].sum())
        if smooth[at] <= _VALLEY * lower and smaller >= _LEAST_SHARE * counts.sum():
            depth = float(lower - smooth[at])
            if best is None or depth > best[0]:
                best = depth, at
    return None if best is None else float((edges[best[1]] + edges[best[1] + 1]) / 2)


def below(some: NDArray[np.float64], others: NDArray[np.float64]) -> float | None:
    """The chance that one of `some` is below one of `others`, ties half (Mann and Whitney 1947); None without both."""
    if not len(some) or not len(others):
        return None
    ordered = np.sort(others)
    above = len(others) - np.searchsorted(ordered, some, side="right")
    ties = len(others) - above - np.searchsorted(ordered, some, side="left")
    return float((above + ties / 2).mean() / len(others))


def _median(values: NDArray[np.float64]) -> float | None:
    return float(np.median(values)) if len(values) else None
