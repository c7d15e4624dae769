"""One shard of activations: a table of tokens and, row for row, the vectors read there."""

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sae.errors import AtlasError
from sae.identity import content_id, frame_id, tensors_id
from sae.table_files import read_table

KEY = "activations"
"""Name of the tensor in the file."""

TOKENS = pl.Schema(
    {
        "document_id": pl.String,
        "position": pl.Int32,
        "token_id": pl.Int32,
        "token": pl.String,
        "start": pl.Int32,
        "end": pl.Int32,
        "language": pl.String,
        "modality": pl.String,
        "special": pl.Boolean,
        "massive": pl.Boolean,
    }
)
"""`position` counts from the document's first token, `start` and `end` are characters of its text, `modality` is the
position's own; `special` marks control tokens, `massive` massive activations (`massive_limit`)."""

_MASSIVE_NORM = "massive_norm"
_BLOCK_ROWS = 16_384
_CHUNK_ROWS = 1_024


@dataclass(frozen=True, eq=False)
class ReadValues:
    """Vectors that are read when they are asked for, and held by nobody but who asked."""

    read: Callable[[], Tensor]
    """Gives [n, d] on the CPU: mapped into memory, or computed."""
    d_model: int
    dtype: torch.dtype
    chunk_rows: int = _CHUNK_ROWS
    """Neighbouring rows below which reading less costs no less."""


class ActivationShard:
    """Row i of `tokens` tells where row i of `values` was read."""

    def __init__(self, tokens: pl.DataFrame, values: Tensor | ReadValues, massive_norm: float = math.inf):
        """`tokens` has the schema `TOKENS`; `massive_norm` is the L2 norm above which a position counts as massive."""
        self.tokens = tokens
        self.massive_norm = massive_norm
        self._source = (
            values if isinstance(values, ReadValues) else ReadValues(lambda: values, values.shape[1], values.dtype)
        )

    @property
    def values(self) -> Tensor:
        """[n, d], on the CPU, not to be written to. Read anew each time unless given as a tensor: take it once."""
        return self._source.read()

    @property
    def read(self) -> Callable[[], Tensor]:
        """What gives `values`, without the table of tokens."""
        return self._source.read

    @property
    def d_model(self) -> int:
        """Dimensions of a vector."""
        return self._source.d_model

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the vectors."""
        return self._source.dtype

    @property
    def chunk_rows(self) -> int:
        """Neighbouring rows that a shuffled reading takes together."""
        return self._source.chunk_rows

    @property
    def trainable(self) -> Tensor:
        """bool [n]: positions that count in training, normalisation and FVU: neither special nor massive."""
        return torch.from_numpy((~(self.tokens["special"] | self.tokens["massive"])).to_numpy(writable=True))

    def blocks(self, rows: int = _BLOCK_ROWS) -> Iterator[tuple[int, Tensor]]:
        """First row and float32 copy [≤ rows, d] of each block, in order, so that memory stays bounded."""
        values = self.values
        for start in range(0, len(values), rows):
            yield start, values[start : start + rows].float()


def massive_limit(norms: Tensor, special: Tensor, ratio: float) -> float:
    """The norm that marks massive activations: `ratio` times the median of `norms` [n] over ordinary positions.

    Massive activations (Sun et al. 2024, "Massive Activations in Large Language Models") sit on a few positions, above
    all the first ones, and hold nearly all of the variance while they carry next to no information.
    """
    ordinary = norms[~special]
    return ratio * float((ordinary if len(ordinary) else norms).median())


def shard_version(shard: ActivationShard) -> str:
    """Id of a shard's content: the exact bits of the vectors, the rows of the table, what counts as massive."""
    return content_id([tensors_id({KEY: shard.values}), frame_id(shard.tokens), str(shard.massive_norm)])


def save_shard(shard: ActivationShard, tensors_path: Path, tokens_path: Path) -> None:
    """Write both files of a shard; the caller gives temporary paths and renames them."""
    metadata = {_MASSIVE_NORM: str(shard.massive_norm)}
    save_file({KEY: shard.values.contiguous()}, os.fspath(tensors_path), metadata)
    shard.tokens.write_parquet(tokens_path, compression="zstd")


def read_tokens(path: Path) -> pl.DataFrame:
    """The table of tokens of a shard. Raises AtlasError where the file is damaged."""
    try:
        tokens = read_table(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _damaged(path, " ".join(str(error).split())[:200]) from error
    if tokens.schema != TOKENS:
        raise _damaged(path, "its columns are not those of a table of tokens")
    return tokens


def open_shard(tensors_path: Path, tokens_path: Path) -> ActivationShard:
    """Open a shard; the vectors stay on disk, and each reading of `values` maps them into memory.

    Raises AtlasError where a file is damaged or the two do not belong together.
    """
    tokens = read_tokens(tokens_path)
    try:
        with safe_open(os.fspath(tensors_path), framework="pt") as file:
            values = file.get_tensor(KEY)
            limit = float((file.metadata() or {}).get(_MASSIVE_NORM, math.inf))
    except (SafetensorError, OSError) as error:
        raise _damaged(tensors_path, " ".join(str(error).split())[:200]) from error
    if values.ndim != 2 or len(tokens) != len(values):
        shape = list(values.shape)
        raise _damaged(tensors_path, f"{len(tokens)} tokens stand beside activations of shape {shape}")
    return ActivationShard(tokens, ReadValues(partial(_mapped, tensors_path), values.shape[1], values.dtype), limit)


def _mapped(path: Path) -> Tensor:
    with safe_open(os.fspath(path), framework="pt") as file:
        return file.get_tensor(KEY)


def _damaged(path: Path, reason: str) -> AtlasError:
    return AtlasError(f"The shard {path.name} is damaged: {reason}. Delete it and run `atlas run`.")
