"""The order in which a reading gives out a site's rows: chunks permuted into buffers, rows permuted inside each."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Chunk(NamedTuple):
    """Neighbouring rows of a shard, read together."""

    shard: int
    """Number of the shard."""
    start: int
    stop: int


@dataclass(frozen=True)
class Buffer:
    """What is in memory together."""

    chunks: tuple[Chunk, ...]
    """Sorted; their trainable rows, one after the other, are the buffer's rows."""
    order: Tensor
    """int64: the rows in the order in which they are given out, without those that were given out before."""


@dataclass(frozen=True)
class ReadingOrder:
    """Endless epochs over chunks of rows.

    An epoch permutes the chunks and cuts them into buffers; the rows of each buffer are permuted. Every permutation has
    a generator of its own, made from the seed, the epoch and the buffer's number: any place is reached at once.
    """

    counts: Mapping[Chunk, int]
    """Trainable rows of each chunk, at least one."""
    buffer_rows: int
    """Rows of a buffer; one chunk where that holds more."""
    seed: int

    @property
    def n_rows(self) -> int:
        """Rows of an epoch."""
        return sum(self.counts.values())

    def buffers(self, first: int, last: int) -> Iterator[Buffer]:
        """The buffers that hold the rows from number `first` to before `last`, counted over all epochs."""
        epoch, skip = divmod(first, self.n_rows)
        while first < last:
            for number, chunks in enumerate(self._epoch(epoch)):
                n_rows = sum(self.counts[chunk] for chunk in chunks)
                if skip < n_rows and first < last:
                    order = torch.randperm(n_rows, generator=self._generator(epoch, number))
                    yield Buffer(chunks, order[skip:])
                    first += n_rows - skip
                skip = max(0, skip - n_rows)
            epoch += 1

    def _epoch(self, epoch: int) -> Iterator[tuple[Chunk, ...]]:
        chunks = list(self.counts)
        held: list[Chunk] = []
        n_rows = 0
        for index in torch.randperm(len(chunks), generator=self._generator(epoch, -1)).tolist():
            chunk = chunks[index]
            if held and n_rows + self.counts[chunk] > self.buffer_rows:
                yield tuple(sorted(held))
                held, n_rows = [], 0
            held.append(chunk)
            n_rows += self.counts[chunk]
        yield tuple(sorted(held))

    def _generator(self, epoch: int, number: int) -> torch.Generator:
        digest = hashlib.sha256(f"{self.seed}/{epoch}/{number}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8]))
