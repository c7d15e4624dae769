"""Readers of activations: shuffled batches for training, ordered ones for measuring."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sae.activations.shard import ActivationShard
from sae.errors import AtlasError

ShardOpener = Callable[[], ActivationShard]
"""Opens one shard (memory-mapped) when it is needed."""

_CHUNK_ROWS = 1_024
_BUFFER_BYTES = 256 * 2**20


@dataclass(frozen=True)
class _Source:
    """A shard's vectors on disk, and which rows count."""

    values: Tensor
    trainable: Tensor


class ShuffledReader:
    """Batches of trainable rows from several shards, in an order that the seed alone decides.

    Each epoch permutes chunks of 1,024 neighbouring rows over all shards, reads as many as the buffer holds and
    permutes the rows inside it; a set that fits into the buffer is read from disk once and permuted as a whole. Memory:
    twice the buffer (the next one fills while the last is given out) and one byte a token of the set.
    """

    def __init__(
        self, shards: Sequence[ShardOpener], batch: int, seed: int, tokens: int, buffer_bytes: int = _BUFFER_BYTES
    ):
        """`tokens` is how many rows are given out in all, over as many epochs as that takes; `batch` rows at a time.

        Raises AtlasError when the shards hold no trainable row.
        """
        self._sources = [_Source(shard.values, shard.trainable) for shard in (opener() for opener in shards)]
        self.n_trainable = sum(int(source.trainable.sum()) for source in self._sources)
        if not self.n_trainable:
            raise AtlasError("The activation shards hold no trainable token. Check the site's corpora.")
        values = self._sources[0].values
        self.d_model = int(values.shape[1])
        self.n_batches = -(-tokens // batch)
        self._batch = batch
        self._seed = seed
        self._tokens = tokens
        self._buffer_rows = max(_CHUNK_ROWS, batch, buffer_bytes // (self.d_model * values.element_size()))

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[Tensor]:
        """float32 [batch, d], the last batch with what is left of `tokens`. Raises AtlasError on a NaN."""
        generator = torch.Generator().manual_seed(self._seed)
        given = 0
        held: list[Tensor] = []
        n_held = 0
        for rows in self._buffers(generator):
            order = torch.randperm(len(rows), generator=generator)
            start = 0
            while start < len(order):
                want = min(self._batch, self._tokens - given) - n_held
                piece = rows[order[start : start + want]].float()
                start += want
                held.append(piece)
                n_held += len(piece)
                if len(piece) < want:
                    break
                yield torch.cat(held) if len(held) > 1 else piece
                given += n_held
                held, n_held = [], 0
                if given >= self._tokens:
                    return

    def _buffers(self, generator: torch.Generator) -> Iterator[Tensor]:
        """Endless epochs of row buffers [≤ buffer_rows, d] in the stored format."""
        chunks = [
            (number, start)
            for number, source in enumerate(self._sources)
            for start in range(0, len(source.values), _CHUNK_ROWS)
        ]
        per_buffer = max(1, self._buffer_rows // _CHUNK_ROWS)
        whole = self._read(chunks) if len(chunks) <= per_buffer else None
        while True:
            if whole is not None:
                yield whole
                continue
            order = torch.randperm(len(chunks), generator=generator).tolist()
            for first in range(0, len(order), per_buffer):
                rows = self._read([chunks[index] for index in order[first : first + per_buffer]])
                if len(rows):
                    yield rows

    def _read(self, chunks: Sequence[tuple[int, int]]) -> Tensor:
        masks = [self._sources[number].trainable[start : start + _CHUNK_ROWS] for number, start in chunks]
        counts = [int(mask.sum()) for mask in masks]
        buffer = torch.empty(sum(counts), self.d_model, dtype=self._sources[0].values.dtype)
        filled = 0
        for (number, start), mask, count in zip(chunks, masks, counts, strict=True):
            buffer[filled : filled + count] = self._sources[number].values[start : start + _CHUNK_ROWS][mask]
            filled += count
        for start in range(0, len(buffer), _CHUNK_ROWS):
            _check_finite(buffer[start : start + _CHUNK_ROWS])
        return buffer


def held_out_batches(shards: Sequence[ShardOpener], batch: int) -> Iterator[Tensor]:
    """The trainable rows of some shards in their order, once: float32 [≤ batch, d]. Raises AtlasError on a NaN."""
    for opener in shards:
        shard = opener()
        rows = torch.nonzero(shard.trainable)[:, 0]
        for start in range(0, len(rows), batch):
            values = shard.values[rows[start : start + batch]].float()
            _check_finite(values)
            yield values


def _check_finite(values: Tensor) -> None:
    if not bool(values.isfinite().all()):
        raise AtlasError("An activation shard holds a value that is not finite. Delete the shard and run `atlas run`.")
