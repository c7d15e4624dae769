"""The sparse codes of a run of positions, in the order in which a pass reads them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from sae.activations.shard import ActivationShard
from sae.dictionaries.dictionary import Dictionary
from sae.errors import AtlasError

BLOCK_ROWS = 4096
"""Rows encoded at once."""


@dataclass(frozen=True)
class CodeBlock:
    """Codes of m rows: its own rows and, before and after them, the neighbours that their windows reach.

    Special and massive positions are read by nobody: their codes are empty.
    """

    values: NDArray[np.float32]
    """[m, d_in], raw activations."""
    codes: sp.csr_matrix
    """[m, d_sae]."""
    readable: NDArray[np.bool_]
    """[m]: neither special nor massive."""
    own: slice
    """The rows that belong to this block and to no other."""
    first: int
    """Number of the block's first row (neighbours included) among the rows of all shards."""
    shard: int
    """Which shard the rows are from."""
    shard_rows: slice
    """Its own rows, as they are numbered in the shard."""


def code_blocks(shards: Sequence[ActivationShard], dictionary: Dictionary, reach: int) -> Iterator[CodeBlock]:
    """Encode all rows of the shards, each once (up to the `reach` rows around a block), at most BLOCK_ROWS at a time.

    Raises AtlasError where the dictionary does not fit the activations.
    """
    offset = 0
    for number, shard in enumerate(shards):
        held = shard.values
        n, d = held.shape
        if d != dictionary.d_in:
            raise AtlasError(f"The activations have {d} dimensions, the dictionary reads {dictionary.d_in}.")
        readable = readable_rows(shard.tokens)
        step = BLOCK_ROWS - 2 * reach
        for start in range(0, n, step):
            stop = min(start + step, n)
            low, high = max(start - reach, 0), min(stop + reach, n)
            values = held[low:high].to(torch.float32)
            yield CodeBlock(
                values=values.numpy(),
                codes=_sparse(dictionary, values, readable[low:high]),
                readable=readable[low:high],
                own=slice(start - low, stop - low),
                first=offset + low,
                shard=number,
                shard_rows=slice(start, stop),
            )
        offset += n


def readable_rows(tokens: pl.DataFrame) -> NDArray[np.bool_]:
    """Which positions count: bool [n], false for special tokens and massive activations."""
    return (~(tokens["special"] | tokens["massive"])).to_numpy()


def _sparse(dictionary: Dictionary, values: torch.Tensor, readable: NDArray[np.bool_]) -> sp.csr_matrix:
    rows, features, found = (part.numpy() for part in dictionary.encode_sparse(values))
    kept = readable[rows] & (found > 0)
    shape = (len(values), dictionary.d_sae)
    return sp.csr_matrix((found[kept], (rows[kept], features[kept])), shape=shape, dtype=np.float32)
