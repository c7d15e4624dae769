"""Readers of activations: shuffled batches for training, ordered ones for measuring."""

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

import torch
from torch import Tensor

from sae.activations.order import Chunk, ReadingOrder
from sae.activations.shard import ActivationShard
from sae.errors import AtlasError

ShardOpener = Callable[[], ActivationShard]
"""Opens one shard when it is needed."""

_BUFFER_BYTES = 256 * 2**20
_CHECKED_ROWS = 4096


class ShuffledReader:
    """Batches of trainable rows from several shards, in an order that the seed alone decides (`ReadingOrder`).

    Every trainable row comes once an epoch. A set that fits into the buffer is read once and permuted as a whole. A
    thread fills the next buffer while the last one is given out; what fails there is raised where its rows are due.

    Memory: two buffers, each of `buffer_bytes` or of one chunk that is larger (1,024 neighbouring rows of a stored
    shard, the whole of one that is harvested again), the shard being read, and one byte a token of the set.
    """

    def __init__(
        self, shards: Sequence[ShardOpener], batch: int, seed: int, tokens: int, buffer_bytes: int = _BUFFER_BYTES
    ):
        """`tokens` is how many rows are given out in all, over as many epochs as that takes; `batch` rows at a time.

        Raises AtlasError when the shards hold no trainable row.
        """
        self._reads: list[Callable[[], Tensor]] = []
        self._trainable: list[Tensor] = []
        self.d_model, row_bytes = 0, 1
        counts: dict[Chunk, int] = {}
        for number, opener in enumerate(shards):
            shard = opener()
            trainable = shard.trainable
            self._reads.append(shard.read)
            self._trainable.append(trainable)
            self.d_model, row_bytes = shard.d_model, shard.d_model * shard.dtype.itemsize
            for start in range(0, len(trainable), shard.chunk_rows):
                stop = min(start + shard.chunk_rows, len(trainable))
                if count := int(trainable[start:stop].sum()):
                    counts[Chunk(number, start, stop)] = count
        if not counts:
            raise AtlasError("The activation shards hold no trainable token. Check the site's corpora.")
        self._order = ReadingOrder(counts, max(batch, buffer_bytes // row_bytes), seed)
        self.n_trainable = self._order.n_rows
        self.n_batches = -(-tokens // batch)
        self._batch = batch
        self._tokens = tokens

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[Tensor]:
        """All batches."""
        return self.batches()

    def batches(self, first: int = 0) -> Generator[Tensor, None, None]:
        """The batches from number `first` on, bit for bit those of a reading from the start.

        float32 [batch, d], the last one with what is left of the tokens. Raises AtlasError on a NaN.
        """
        left = self._tokens - first * self._batch
        held: list[Tensor] = []
        for rows, order in self._filled(first * self._batch):
            start = 0
            while start < len(order) and left:
                want = min(self._batch, left) - sum(len(piece) for piece in held)
                held.append(rows[order[start : start + want]])
                start += want
                if len(held[-1]) == want:
                    batch = torch.cat(held).float() if len(held) > 1 else held[0].float()
                    left -= len(batch)
                    held = []
                    yield batch

    def _filled(self, given: int) -> Iterator[tuple[Tensor, Tensor]]:
        """One buffer after the other, its rows in the stored format [n, d] and the order in which they are to come."""
        buffers = self._order.buffers(given, self._tokens)
        buffer = next(buffers, None)
        if buffer is None:
            return
        with ThreadPoolExecutor(1, "activations") as thread:
            coming = thread.submit(self._fill, buffer.chunks)
            while buffer is not None:
                rows = coming.result()
                following = next(buffers, None)
                if following is not None and following.chunks != buffer.chunks:
                    coming = thread.submit(self._fill, following.chunks)
                yield rows, buffer.order
                buffer = following

    def _fill(self, chunks: Sequence[Chunk]) -> Tensor:
        """The trainable rows of some chunks, [n, d]; no more than one shard is open at a time."""
        rows: Tensor | None = None
        filled = 0
        for number, group in groupby(chunks, key=lambda chunk: chunk.shard):
            values, trainable = self._reads[number](), self._trainable[number]
            if rows is None:
                rows = values.new_empty(sum(self._order.counts[chunk] for chunk in chunks), self.d_model)
            for _, start, stop in group:
                mask = trainable[start:stop]
                for first in range(0, stop - start, _CHECKED_ROWS):
                    part = slice(first, first + _CHECKED_ROWS)
                    kept = values[start:stop][part][mask[part]]
                    check_finite(kept)
                    rows[filled : filled + len(kept)] = kept
                    filled += len(kept)
        assert rows is not None
        return rows


def held_out_batches(shards: Sequence[ShardOpener], batch: int) -> Iterator[Tensor]:
    """The trainable rows of some shards in their order, once: float32 [≤ batch, d]. Raises AtlasError on a NaN."""
    for opener in shards:
        shard = opener()
        values, rows = shard.read(), torch.nonzero(shard.trainable)[:, 0]
        for start in range(0, len(rows), batch):
            kept = values[rows[start : start + batch]].float()
            check_finite(kept)
            yield kept


def check_finite(values: Tensor) -> None:
    """Raises AtlasError on a NaN or an infinity."""
    if not bool(values.isfinite().all()):
        raise AtlasError("An activation shard holds a value that is not finite. Delete the shard and run `atlas run`.")
