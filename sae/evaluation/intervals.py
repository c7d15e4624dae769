"""95% confidence intervals: Wilson's for shares, the bootstrap for means and ratios, Student's for the mean of a few.

Each is of things drawn independently of one another. Of those that belong together, as the prompts about one player,
what they belong to is drawn: its sums are the values of `bootstrap_ratio`.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

_Z = 1.959963984540054
LEAST = 8
"""Fewest values that are drawn from with repetition: of fewer, the bootstrap's 95% interval holds the mean too seldom
(normal values: in 52% of samples of two, 70% of three, 81% of four)."""


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Wilson's score interval (1927) of a share; (0, 1) where nothing was tried."""
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}")
    if n == 0:
        return 0.0, 1.0
    share = successes / n
    centre = share + _Z**2 / (2 * n)
    spread = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    scale = 1 + _Z**2 / n
    low, high = (centre - spread) / scale, (centre + spread) / scale
    return 0.0 if successes == 0 else low, 1.0 if successes == n else high  # exact, where rounding would blur it


def student(values: Sequence[float]) -> tuple[float, float]:
    """Student's interval (1908) of the mean of n ≥ 2 values: mean ± t(n−1) · sd / √n. Raises ValueError for fewer."""
    n = len(values)
    if n < 2:
        raise ValueError(f"{n} values have no spread")
    centre, spread = float(np.mean(values)), float(np.std(values, ddof=1))
    half = float(stdtrit(n - 1, 0.975)) * spread / math.sqrt(n)
    return centre - half, centre + half


def bootstrap_mean(values: np.ndarray, seed: int, draws: int = 2000) -> tuple[float, float] | None:
    """Percentile interval (Efron 1979) of the mean of values [n]; None for fewer than `LEAST`."""
    return bootstrap_ratio(values, np.ones(len(values)), seed, draws)


def bootstrap_ratio(above: np.ndarray, below: np.ndarray, seed: int, draws: int = 2000) -> tuple[float, float] | None:
    """Percentile interval of sum(above) / sum(below), both [n], whose pairs are drawn together with repetition.

    None for fewer than `LEAST` pairs.
    """
    if len(above) != len(below):
        raise ValueError(f"{len(above)} and {len(below)} values")
    if len(above) < LEAST:
        return None
    generator = np.random.default_rng(seed)
    ratios = np.empty(draws)
    for draw in range(draws):
        picked = generator.integers(0, len(above), len(above))
        ratios[draw] = above[picked].sum() / below[picked].sum()
    low, high = np.percentile(ratios, [2.5, 97.5])
    return float(low), float(high)


def median_interval(values: np.ndarray) -> tuple[float, float]:
    """Interval of the median of values [n] from order statistics (Conover 1999, §3.2, for many values).

    The ranks are n/2 ± 1.96·√n/2, rounded outwards. Raises ValueError where there are none.
    """
    if not len(values):
        raise ValueError("no value has no median")
    ordered, n = np.sort(values), len(values)
    low = math.floor((n - _Z * math.sqrt(n)) / 2)
    high = math.ceil((n + _Z * math.sqrt(n)) / 2)
    return float(ordered[max(0, low - 1)]), float(ordered[min(n - 1, high)])
