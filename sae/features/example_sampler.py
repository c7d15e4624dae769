"""Choosing examples in one pass: the strongest positions, some of every level, random ones, and silent ones.

Kinds, after Scaling Monosemanticity ("top 20" and samples from buckets linearly spaced between 0 and the maximum) and
Towards Monosemanticity (random and out-of-context examples in the prompts of the labeler):
- `top`: the largest activations.
- `random`: uniform draws from the active positions that are no top examples. Of a feature that is active at many times
  as many positions as it has top examples, that is the whole distribution but for its last tip; of a rarer one the
  strongest are missing, and there are fewer, by as many draws as hit a top example.
- `quantile`: uniform draws from each bin, up to `per_bin` (fewer where a bin's positions are top or random examples, or
  rare in the levels that are sampled on the way).
- A position is an example once: as top before random before quantile. Random and quantile are drawn with keys of their
  own: neither says what the other leaves.
- `out_of_context`: uniform draws from the positions where the feature is silent; those come first in whose whole
  window it is silent.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sae.features.codes import CodeBlock
from sae.features.sampling import Reservoir, Sample, uniform_keys
from sae.features.statistics import FeatureSums

_LEVELS_PER_OCTAVE = 4
_LEVEL_NUMBERS = 2048
"""Twice as many as float32's exponents have levels, on either side of 0."""


@dataclass(frozen=True)
class ExampleSizes:
    """Examples kept for each feature: about half are shown to labelers, half held out for scorers.

    Each half has about what Towards Monosemanticity asks for: 10 top, 2 of each of 12 intervals, 10 random, 20 silent.
    """

    top: int = 20
    bins: int = 12
    """Bins linearly spaced between 0 and the maximal activation; the last holds the maximum."""
    per_bin: int = 4
    random: int = 20
    out_of_context: int = 40
    radius: int = 12
    """Tokens shown on either side of the position."""


@dataclass(frozen=True)
class ChosenExamples:
    """The chosen positions."""

    rows: pl.DataFrame
    """n rows: feature, kind, bin (null where silent), rank (1, 2, … within feature and kind), row (among those of all
    shards), value; sorted by feature, kind (top, quantile, random, out_of_context) and rank."""
    windows: NDArray[np.float32]
    """[n, 2 · radius + 1]: the feature's activations around each position, beyond its document's ends too."""


class ExampleSampler:
    """Memory: features × (top + random + out_of_context + about 15 levels × 2 per_bin) windows."""

    def __init__(self, d_sae: int, n_rows: int, seed: int, sizes: ExampleSizes, sums: FeatureSums):
        self._sizes, self._seed, self._sums = sizes, seed, sums
        width = 2 * sizes.radius + 1
        self._top = Reservoir(sizes.top, width, _by_feature)
        self._random = Reservoir(sizes.random, width, _by_feature)
        self._silent = Reservoir(sizes.out_of_context, width, _by_feature)
        # The bins are known only when the maximum is: on the way a few of each narrow level are kept. The levels that
        # lie wholly in the lowest bin are one.
        self._lowest = int(np.ceil(np.log2(sizes.bins) * _LEVELS_PER_OCTAVE)) + 1
        self._levels = Reservoir(2 * sizes.per_bin, width, self._by_level)
        self._drawn_rows, self._drawn_features = _draw(d_sae, n_rows, 2 * sizes.out_of_context, seed)

    def add(self, block: CodeBlock) -> None:
        """Offer the positions of a block, which the sums have counted already."""
        windows = _Windows(block, self._sizes.radius)
        codes = block.codes[block.own]
        features, values = codes.indices.astype(np.int64), codes.data
        rows = block.first + block.own.start + np.repeat(np.arange(len(codes.indptr) - 1), np.diff(codes.indptr))
        strength = -values.astype(np.float64)
        of_levels, of_all = (uniform_keys(self._seed + n, features, rows) for n in (0, 2))
        for reservoir, keys in ((self._top, strength), (self._levels, of_levels), (self._random, of_all)):
            reservoir.add(features, rows, values, keys, lambda at: windows.of(features[at], rows[at]))
        self._add_silent(block, windows)

    def chosen(self) -> ChosenExamples:
        """The examples, once the pass has ended."""
        samples = [reservoir.sample() for reservoir in (self._top, self._levels, self._random, self._silent)]
        top, levels, random, silent = _frames(samples)
        top = self._with_bins(top)
        random = self._with_bins(random).join(top, on=["feature", "row"], how="anti")
        quantile = (
            self._with_bins(levels)
            .join(pl.concat([top, random]), on=["feature", "row"], how="anti")
            .sort("feature", "bin", "key", "row", descending=[False, True, False, False])
            .filter(pl.int_range(pl.len()).over("feature", "bin") < self._sizes.per_bin)
        )
        kinds = {
            "top": top,
            "quantile": quantile,
            "random": random,
            "out_of_context": silent.with_columns(bin=pl.lit(None, pl.Int32)),
        }
        rows = pl.concat(
            frame.select(
                "feature",
                pl.lit(kind).alias("kind"),
                "bin",
                pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over("feature").alias("rank"),
                "row",
                "value",
                "at",
            )
            for kind, frame in kinds.items()
        ).sort("feature", maintain_order=True)
        windows = np.concatenate([sample.windows for sample in samples])
        return ChosenExamples(rows.drop("at"), windows[rows["at"].to_numpy()])

    def _with_bins(self, frame: pl.DataFrame) -> pl.DataFrame:
        largest = self._sums.largest[frame["feature"].to_numpy()]
        bins = frame["value"].to_numpy() / largest * self._sizes.bins
        return frame.with_columns(bin=pl.Series(np.minimum(bins.astype(np.int32), self._sizes.bins - 1)))

    def _by_level(self, features: NDArray[np.int64], values: NDArray[np.float32]) -> NDArray[np.int64]:
        level, peak = (
            np.floor(np.log2(x) * _LEVELS_PER_OCTAVE).astype(np.int64) for x in (values, self._sums.largest[features])
        )
        return (2 * features + 1) * _LEVEL_NUMBERS + np.maximum(level, peak - self._lowest)

    def _add_silent(self, block: CodeBlock, windows: "_Windows") -> None:
        own = block.first + block.own.start, block.first + block.own.stop
        low, high = np.searchsorted(self._drawn_rows, own)
        rows, features = self._drawn_rows[low:high], self._drawn_features[low:high]
        found = windows.of(features, rows)
        silent = block.readable[rows - block.first] & (found[:, self._sizes.radius] == 0)
        rows, features, found = rows[silent], features[silent], found[silent]
        keys = uniform_keys(self._seed, features, rows) + (found.max(1, initial=0) > 0)
        self._silent.add(features, rows, found[:, self._sizes.radius], keys, lambda at: found[at])


class _Windows:
    """Looks up the activations of a feature around a row of a block."""

    def __init__(self, block: CodeBlock, radius: int):
        columns = block.codes.tocsc()
        self._n_rows = len(block.readable) + 2 * radius
        features = np.repeat(np.arange(len(columns.indptr) - 1), np.diff(columns.indptr))
        # Rows are counted from `radius`, so that a window never reaches into another feature's.
        self._places = features * self._n_rows + columns.indices + radius
        self._values = np.append(columns.data, np.float32(0))
        self._shift = np.arange(-radius, radius + 1) + radius - block.first

    def of(self, features: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """[n, 2 · radius + 1] activations of `features` [n] around `rows` [n]."""
        wanted = (features * self._n_rows + rows)[:, None] + self._shift
        at = np.searchsorted(self._places, wanted)
        found = np.append(self._places, -1)[at] == wanted
        return np.where(found, self._values[at], np.float32(0))


def _by_feature(features: NDArray[np.int64], values: NDArray[np.float32]) -> NDArray[np.int64]:
    return features


def _draw(d_sae: int, n_rows: int, draws: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows drawn for every feature before the pass, without repeats, sorted by row; and whose they are."""
    features = np.repeat(np.arange(d_sae), draws)
    rows = (uniform_keys(seed + 1, features, np.tile(np.arange(draws), d_sae)) * n_rows).astype(np.int64)
    pairs = np.unique(rows * d_sae + features)
    return pairs // d_sae, pairs % d_sae


def _frames(samples: list[Sample]) -> list[pl.DataFrame]:
    """Each sample as a frame; `at` numbers the windows of all of them."""
    starts = np.cumsum([0, *(len(sample.rows) for sample in samples)])
    return [
        pl.DataFrame(
            {
                "feature": sample.features,
                "row": sample.rows,
                "value": sample.values,
                "key": sample.keys,
                "at": np.arange(len(sample.rows)) + start,
            }
        )
        for sample, start in zip(samples, starts, strict=False)
    ]
