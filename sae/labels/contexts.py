"""Examples in words: what stands at an example's position, and before and after it.

Most questions are about the word at the position alone: the words around it are read only where somebody asks.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import overload

import numpy as np
import polars as pl

from sae.features.examples import focus
from sae.labels.pieces import named, read_pieces

Around = tuple[list[str], list[str]]
"""The words before a position and those after it."""


class Context:
    """An example in words. All are in lower case but those that say that they are written."""

    def __init__(self, written: str, image: bool, language: str, around: Callable[[], Around]):
        """:param around: reads the words around the position, as they are written"""
        self.written = written
        """The word at its position, as it is written."""
        self.focus = written.lower()
        """The word at its position."""
        self.image = image
        """Whether the position is a patch of a picture."""
        self.language = language
        self._around = around

    @cached_property
    def before(self) -> list[str]:
        """The words before its position."""
        return [word.lower() for word in self._written_around[0]]

    @cached_property
    def after(self) -> list[str]:
        """The words after its position."""
        return [word.lower() for word in self._written_around[1]]

    def spellings(self) -> Iterator[tuple[str, str]]:
        """All its words, that at the position first, each in lower case and as it is written."""
        yield self.focus, self.written
        before, after = self._written_around
        yield from zip(self.before + self.after, before + after, strict=True)

    @cached_property
    def _written_around(self) -> Around:
        return self._around()


class Contexts(Sequence[Context]):
    """The words of EXAMPLES rows, in their order; each row is read when it is asked for."""

    def __init__(self, examples: pl.DataFrame, radius: int = 12):
        """:param radius: tokens on either side of the position, as the examples were made"""
        lengths = examples["tokens"].list.len().cast(pl.Int64).to_numpy()
        pieces = read_pieces(examples["tokens"].explode())
        stops = np.cumsum(lengths)
        starts = stops - lengths
        at = starts + examples.select(focus(pl.col("position"), radius)).to_series().to_numpy()
        begins = ~pieces.goes_on
        begins[starts] = True
        words = np.append(np.flatnonzero(begins), len(begins))
        word = np.searchsorted(words, at, side="right") - 1
        self._codes, self._goes_on = pieces.codes, ~begins
        # No white space stands where pieces are joined: each distinct one is stripped once.
        self._stripped = [piece.strip() for piece in pieces.texts]
        self._named = [named(piece) for piece in pieces.texts]
        self._ends = list(zip(*(ends.tolist() for ends in (starts, words[word], words[word + 1], stops)), strict=True))
        self._first = pieces.codes[words[word]].tolist()
        self._image = (examples["modality"] == "image").to_list()
        self._language = examples["language"].to_list()

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, row: int) -> Context: ...

    @overload
    def __getitem__(self, row: slice) -> list[Context]: ...

    def __getitem__(self, row: int | slice) -> Context | list[Context]:
        if isinstance(row, slice):
            return [self[number] for number in range(*row.indices(len(self)))]
        low, start, stop, high = self._ends[row]
        if stop - start == 1:
            written = self._named[self._first[row]]
        else:
            written = "".join([self._stripped[code] for code in self._codes[start:stop]])
        around = partial(self._around, low, start, stop, high)
        return Context(written, self._image[row], self._language[row], around)

    def _around(self, low: int, start: int, stop: int, high: int) -> Around:
        return self._words(low, start), self._words(stop, high)

    def _words(self, start: int, stop: int) -> list[str]:
        """The words that some pieces make, as they are written."""
        words: list[str] = []
        stripped = self._stripped
        for code, goes_on in zip(self._codes[start:stop].tolist(), self._goes_on[start:stop].tolist(), strict=True):
            if goes_on:
                words[-1] += stripped[code]
            elif piece := stripped[code]:
                words.append(piece)
        return words
