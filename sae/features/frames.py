"""The columns that name a feature, with which every table about features begins."""

import numpy as np
import polars as pl
from numpy.typing import NDArray


def feature_columns(dictionary_id: str, index: NDArray[np.integer]) -> dict[str, pl.Series]:
    """`feature_id`, `dictionary_id` and `index` of the latents `index` [n] of one dictionary."""
    indices = pl.Series("index", index.astype(np.int32))
    return {
        "feature_id": (dictionary_id + ":" + indices.cast(pl.String)).alias("feature_id"),
        "dictionary_id": pl.repeat(dictionary_id, len(index), dtype=pl.String, eager=True).alias("dictionary_id"),
        "index": indices,
    }
