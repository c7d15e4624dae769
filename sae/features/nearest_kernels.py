"""Keeping the largest products of each row while tiles of them go by."""

import numpy as np
from numpy.typing import NDArray

from sae.dictionaries.compiled import compiled

_GROUP = 64
"""Products that are compared at once."""


@compiled
def offer_to_rows(
    start: int,
    stop: int,
    tile: NDArray[np.float32],
    first_row: int,
    first_column: int,
    best: NDArray[np.float32],
    where: NDArray[np.int64],
) -> None:
    """Offer row i of `tile` [b, c] (i from `start` to `stop`) to row first_row + i of `best` and `where` [n, k].

    `best` falls along its rows. A product that is not above the last of them changes nothing.
    """
    k, width = best.shape[1], tile.shape[1]
    for i in range(start, stop):
        row = first_row + i
        least = best[row, k - 1]
        for low in range(0, width, _GROUP):
            group = tile[i, low : low + _GROUP]
            above = np.int32(0)  # of the width of what is compared: then 16 are compared at once
            for j in range(len(group)):
                above |= np.int32(group[j] > least)
            if above:
                for j in range(len(group)):
                    if group[j] > least:
                        _insert(group[j], first_column + low + j, best[row], where[row])
                        least = best[row, k - 1]


@compiled
def offer_to_columns(
    start: int,
    stop: int,
    tile: NDArray[np.float32],
    first_row: int,
    first_column: int,
    best: NDArray[np.float32],
    where: NDArray[np.int64],
    least: NDArray[np.float32],
) -> None:
    """Offer column j of `tile` [b, c] (j from `start` to `stop`) to row first_column + j of `best` and `where` [n, k].

    `least` [n] is room for the last of each row's best.
    """
    k = best.shape[1]
    for j in range(start, stop):
        least[first_column + j] = best[first_column + j, k - 1]
    for i in range(tile.shape[0]):
        for low in range(start, stop, _GROUP):
            group = tile[i, low : min(low + _GROUP, stop)]
            floor = least[first_column + low : first_column + low + len(group)]
            above = np.int32(0)
            for j in range(len(group)):
                above |= np.int32(group[j] > floor[j])
            if above:
                for j in range(len(group)):
                    if group[j] > floor[j]:
                        row = first_column + low + j
                        _insert(group[j], first_row + i, best[row], where[row])
                        floor[j] = best[row, k - 1]


@compiled
def _insert(value: float, index: int, best: NDArray[np.float32], where: NDArray[np.int64]) -> None:
    """Put a value that is above the last of `best` [k] in its place, after those equal to it."""
    place = len(best) - 1
    while place > 0 and best[place - 1] < value:
        best[place], where[place] = best[place - 1], where[place - 1]
        place -= 1
    best[place], where[place] = value, index
