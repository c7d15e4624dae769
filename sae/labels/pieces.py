"""Which tokens are pieces of one word.

Pieces are joined where letters of a script with spaces between words meet letters; names that a tokenizer keeps whole
stay whole ("Golden Gate Bridge"), and each token of other scripts is a word of its own. Tokens repeat, so each distinct
one is looked at once.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

_LETTER = r"[\p{Latin}\p{Cyrillic}\p{Greek}\p{Arabic}\p{Hebrew}\p{Hangul}\p{Devanagari}\p{Nd}_]"
_CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f]"
LINE_BREAK, SPACES = "⏎", "␣"
"""Words that stand for a token of nothing but white space."""


@dataclass(frozen=True)
class Pieces:
    """n tokens one after the other."""

    texts: list[str]
    """The distinct ones, control characters as spaces."""
    codes: NDArray[np.int32]
    """[n] Which of them stands at each place."""
    goes_on: NDArray[np.bool_]
    """[n] Whether its letters go on with those of the token before it, be that of the same document or not."""


def read_pieces(tokens: pl.Series) -> Pieces:
    """The pieces of a column of tokens, str [n]."""
    encoded = tokens.to_arrow().dictionary_encode()
    distinct = pl.Series("text", encoded.dictionary, dtype=pl.String).str.replace_all(_CONTROL, " ")
    begins = distinct.str.contains(f"^{_LETTER}").to_numpy()
    ends = distinct.str.contains(f"{_LETTER}$").to_numpy()
    codes = np.asarray(encoded.indices, dtype=np.int32)
    goes_on = np.zeros(len(codes), dtype=np.bool_)
    goes_on[1:] = ends[codes[:-1]] & begins[codes[1:]]
    return Pieces(distinct.to_list(), codes, goes_on)


def named(word: str) -> str:
    """A word without the white space around it; LINE_BREAK or SPACES where it is nothing else."""
    return word.strip() or (LINE_BREAK if "\n" in word else SPACES)
