"""The shards of a site, opened one at a time: a pass over a corpus holds the tokens of one shard, not of all."""

from collections.abc import Sequence
from typing import overload

from sae.activations.reader import ShardOpener
from sae.activations.shard import ActivationShard


class OpenedInTurn(Sequence[ActivationShard]):
    """Shards in their order, each opened when it is asked for; the last one stays open until another is.

    Memory: one shard's table of tokens, two where a caller holds on to the one before. What reads the shards twice
    opens them twice.
    """

    def __init__(self, openers: Sequence[ShardOpener]):
        self._openers = tuple(openers)
        self._last: tuple[int, ActivationShard] | None = None

    def __len__(self) -> int:
        return len(self._openers)

    @overload
    def __getitem__(self, index: int) -> ActivationShard: ...

    @overload
    def __getitem__(self, index: slice) -> "OpenedInTurn": ...

    def __getitem__(self, index: "int | slice") -> "ActivationShard | OpenedInTurn":
        if isinstance(index, slice):
            return OpenedInTurn(self._openers[index])
        number = range(len(self._openers))[index]
        if self._last is None or self._last[0] != number:
            self._last = None  # Let it go before the next is opened.
            self._last = number, self._openers[number]()
        return self._last[1]
