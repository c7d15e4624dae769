"""Bounded samples of a stream: of every group the few rows with the smallest keys.

The one operation serves the strongest activations (key = minus the activation) and uniform samples (key = a hash of
the seed, the feature and the row: the bottom-k form of reservoir sampling, which does not depend on how the stream is
cut into blocks).
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Keys = NDArray[np.float64]
_PENDING = 65_536


@dataclass(frozen=True)
class Sample:
    """n rows of a stream."""

    features: Ints
    rows: Ints
    values: Floats
    keys: Keys
    windows: Floats
    """[n, width]."""

    @staticmethod
    def empty(width: int) -> "Sample":
        """No rows yet."""
        ints, floats = np.empty(0, np.int64), np.empty(0, np.float32)
        return Sample(ints, ints, floats, np.empty(0), np.empty((0, width), np.float32))

    @staticmethod
    def joined(parts: "list[Sample]") -> "Sample":
        """The rows of all parts."""
        return Sample(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Sample)))

    def take(self, at: NDArray[np.intp]) -> "Sample":
        """The rows at some indices."""
        return Sample(*(getattr(self, field.name)[at] for field in fields(self)))


class Reservoir:
    """Keeps, of all rows that were added, the `size` rows with the smallest keys in each group.

    Equal keys are ordered by row, so that the result is the same for every order of adding.

    :param size: rows kept in each group
    :param width: number of values that each row carries along (its window)
    :param groups: maps features and values to groups. It may merge groups as the stream goes on (never split them):
        the smallest keys of a union are among the smallest of its parts.
    """

    def __init__(self, size: int, width: int, groups: Callable[[Ints, Floats], Ints]):
        self._size = size
        self._groups = groups
        self._parts = [Sample.empty(width)]
        self._pending = 0
        self._full = np.empty(0, np.int64)
        self._largest = np.empty(0, np.float64)

    def add(
        self, features: Ints, rows: Ints, values: Floats, keys: Keys, windows: Callable[[NDArray[np.intp]], Floats]
    ):
        """Add rows (arrays [n]); `windows(chosen)` is asked only for those that may stay, and returns [m, width]."""
        groups = self._groups(features, values)
        chosen = np.flatnonzero(self._may_stay(groups, keys))
        chosen = chosen[_smallest(groups[chosen], keys[chosen], rows[chosen], self._size)]
        if not len(chosen):
            return
        self._parts.append(Sample(features[chosen], rows[chosen], values[chosen], keys[chosen], windows(chosen)))
        self._pending += len(chosen)
        if self._pending > max(_PENDING, len(self._parts[0].rows) // 2):
            self._settle()

    def sample(self) -> Sample:
        """What is kept: sorted by group, then key, then row."""
        self._settle()
        return self._parts[0]

    def _may_stay(self, groups: Ints, keys: Keys) -> NDArray[np.bool_]:
        if not len(self._full):
            return np.ones(len(groups), bool)
        at = np.minimum(np.searchsorted(self._full, groups), len(self._full) - 1)
        return (self._full[at] != groups) | (keys <= self._largest[at])

    def _settle(self) -> None:
        rows = Sample.joined(self._parts)
        groups = self._groups(rows.features, rows.values)
        kept = _smallest(groups, rows.keys, rows.rows, self._size)
        self._parts, self._pending = [rows.take(kept)], 0
        ends = np.flatnonzero(np.diff(groups[kept], append=-1))
        full = np.diff(ends, prepend=-1) >= self._size
        self._full, self._largest = groups[kept][ends[full]], rows.keys[kept][ends[full]]


def uniform_keys(seed: int, features: Ints, rows: Ints) -> Keys:
    """Pseudo-random numbers in [0, 1), one for each (seed, feature, row): the SplitMix64 finaliser over their mix."""
    with np.errstate(over="ignore"):
        mixed = _splitmix(np.uint64(seed % 2**64) + features.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
        mixed = _splitmix(mixed ^ rows.astype(np.uint64))
    return (mixed >> np.uint64(11)).astype(np.float64) / 2.0**53


def _splitmix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _smallest(groups: Ints, keys: Keys, rows: Ints, size: int) -> NDArray[np.intp]:
    """Indices of the `size` smallest (key, row) of each group, sorted by group, key and row."""
    order = np.lexsort((rows, keys, groups))
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    place = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    return order[place < size]
