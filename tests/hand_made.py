"""Activation shards made by hand."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from torch import Tensor

from sae.activations.shard import TOKENS, ActivationShard


def make_shard(values: Tensor, special: Sequence[int] = (), massive: Sequence[int] = ()) -> ActivationShard:
    """A shard of one document with these rows; `special` and `massive` are row numbers."""
    n = len(values)
    numbers = np.arange(n)
    tokens = pl.DataFrame(
        {
            "document_id": ["d"] * n,
            "position": numbers,
            "token_id": numbers,
            "token": ["x"] * n,
            "start": numbers,
            "end": numbers + 1,
            "language": ["en"] * n,
            "modality": ["text"] * n,
            "special": np.isin(numbers, special),
            "massive": np.isin(numbers, massive),
        },
        schema=TOKENS,
        strict=False,
    )
    return ActivationShard(tokens, values)
