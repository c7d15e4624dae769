"""Running statistics of every feature: how often and how strongly it is active, where, and whether it is a neuron."""

import numpy as np
import polars as pl
import pyarrow as pa
import scipy.sparse as sp
from numpy.typing import NDArray

from sae.features.codes import CodeBlock
from sae.features.frames import feature_columns

_TINY = 1e-12


class FeatureSums:
    """Sums over positions from which the statistics of d_sae features follow; memory d_sae × (d_in + slices)."""

    def __init__(self, d_in: int, d_sae: int):
        self._n = 0
        self._active = np.zeros(d_sae, np.int64)
        self._largest = np.zeros(d_sae, np.float32)
        self._sum = np.zeros(d_sae)
        self._squares = np.zeros(d_sae)
        self._products = np.zeros((d_sae, d_in))
        self._input_sum = np.zeros(d_in)
        self._input_squares = np.zeros(d_in)
        self._origin: NDArray[np.float32] | None = None
        self._slices: dict[str, dict[str, NDArray[np.int64]]] = {"language": {}, "modality": {}}

    def add(self, block: CodeBlock, tokens: pl.DataFrame) -> None:
        """Count a block's own rows; `tokens` are the TOKENS rows of these."""
        codes, readable = block.codes[block.own], block.readable[block.own]
        width = codes.shape[1]
        features, found = codes.indices, codes.data.astype(np.float64)
        self._n += int(readable.sum())
        self._active += np.bincount(features, minlength=width)
        np.maximum.at(self._largest, features, codes.data)
        self._sum += np.bincount(features, found, minlength=width)
        self._squares += np.bincount(features, found**2, minlength=width)
        self._add_inputs(block.values[block.own], codes, readable)
        lengths = np.diff(codes.indptr)
        for column, counts in self._slices.items():
            names = tokens[column].to_numpy()
            for name in np.unique(names):
                chosen = np.repeat(names == name, lengths)
                held = counts.setdefault(str(name), np.zeros(width, np.int64))
                held += np.bincount(features[chosen], minlength=width)

    @property
    def n_active(self) -> NDArray[np.int64]:
        """[d_sae]: positions at which each feature is active."""
        return self._active

    @property
    def n_positions(self) -> int:
        """Positions read: neither special nor massive."""
        return self._n

    @property
    def largest(self) -> NDArray[np.float32]:
        """[d_sae]: the maximal activation so far."""
        return self._largest

    def frame(self, dictionary_id: str, decoder_norm: NDArray[np.float32], top_tokens: pl.Series) -> pl.DataFrame:
        """The frame `features` without the columns of the map.

        density: share of the positions read at which the feature is active (TM); mean_activation: over the active
        ones; languages and modalities: share of its active positions in each.
        """
        mean = np.divide(self._sum, self._active, out=np.zeros_like(self._sum), where=self._active > 0)
        return pl.DataFrame(
            {
                **feature_columns(dictionary_id, np.arange(len(self._active))),
                "density": self._active / max(self._n, 1),
                "max_activation": self._largest,
                "mean_activation": mean.astype(np.float32),
                "is_dead": self._active == 0,
                "decoder_norm": decoder_norm,
                "top_tokens": top_tokens,
                "languages": self._shares("language"),
                "modalities": self._shares("modality"),
                "max_neuron_correlation": self._neuron_correlation(),
            }
        )

    def _add_inputs(self, values: NDArray[np.float32], codes: sp.csr_matrix, readable: NDArray[np.bool_]) -> None:
        # A massive position is finite but enormous: it takes no part. The first block's mean as origin keeps the sums
        # of squares small beside the variance.
        origin = self._origin
        if origin is None:
            origin = values[readable].mean(0) if readable.any() else np.zeros(values.shape[1], np.float32)
            self._origin = origin
        shifted = np.where(readable[:, None], values - origin, np.float32(0))
        self._products += codes.T @ shifted
        self._input_sum += shifted.sum(0, dtype=np.float64)
        self._input_squares += np.square(shifted, dtype=np.float64).sum(0)

    def _neuron_correlation(self) -> NDArray[np.float32]:
        """[d_sae]: largest absolute Pearson correlation with any input dimension (SM compares with neurons).

        A direction of the residual stream has no preferred sign, hence the absolute value. 0 for a dead feature.
        """
        n = max(self._n, 1)
        covariance = self._products / n - np.outer(self._sum / n, self._input_sum / n)
        spread = np.sqrt(np.maximum(self._squares / n - (self._sum / n) ** 2, 0))
        input_spread = np.sqrt(np.maximum(self._input_squares / n - (self._input_sum / n) ** 2, 0))
        scale = np.outer(spread, input_spread)
        correlation = np.divide(np.abs(covariance), scale, out=np.zeros_like(scale), where=scale > _TINY)
        return np.minimum(correlation.max(1), 1).astype(np.float32)

    def _shares(self, column: str) -> pl.Series:
        names = sorted(self._slices[column])
        counts = np.stack([self._slices[column][name] for name in names], axis=1)
        feature, slice_ = np.nonzero(counts)
        lengths = np.bincount(feature, minlength=len(counts))
        entries = pa.StructArray.from_arrays(
            [
                pa.array(names, pa.large_string()).take(pa.array(slice_)),
                pa.array(counts[feature, slice_] / self._active[feature]),
            ],
            names=["key", "value"],
        )
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int64())
        return pl.Series(column, pa.LargeListArray.from_arrays(offsets, entries))
