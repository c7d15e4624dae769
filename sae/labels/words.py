"""From tokens to words: what stands at an example's position, and before and after it.

Pieces of a word are joined where letters of a script with spaces between words meet letters; names that a tokenizer
keeps whole stay whole ("Golden Gate Bridge"), and each token of other scripts is a word of its own.
"""

from collections.abc import Iterable
from typing import NamedTuple

import polars as pl

from sae.features.examples import focus, spelled

_LETTER = r"[\p{Latin}\p{Cyrillic}\p{Greek}\p{Arabic}\p{Hebrew}\p{Hangul}\p{Devanagari}\p{Nd}_]"
# Control characters that cannot stand in a token once it is cleaned: they separate tokens and mark the position.
_NEXT, _OPEN, _CLOSE = "\x1f", "\x02", "\x03"
_CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f]"
LINE_BREAK, SPACES = "⏎", "␣"
"""Words that stand for a token of nothing but white space."""


class Context(NamedTuple):
    """An example in words."""

    focus: str
    """The word at its position."""
    before: list[str]
    after: list[str]
    image: bool
    """Whether the position is a patch of a picture."""
    language: str


def count_words(tokens: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Count the words of a corpus: frame word (lower case), language, modality, n; special and massive tokens left out.

    :param tokens: the TOKENS frames of its shards
    """
    counts = [_count(frame).group_by("word", "language", "modality").agg(n=pl.len().cast(pl.Int64)) for frame in tokens]
    if not counts:
        return pl.DataFrame(schema={"word": pl.String, "language": pl.String, "modality": pl.String, "n": pl.Int64})
    keys = ["word", "language", "modality"]
    return pl.concat(counts).group_by(keys).agg(pl.col("n").sum()).sort(keys)


def example_words(examples: pl.DataFrame, radius: int = 12) -> pl.DataFrame:
    """The words of EXAMPLES rows, in their order: focus str, before and after list[str], as they are written.

    :param radius: tokens on either side of the position, as the examples were made
    """
    clean = pl.col("tokens").list.eval(pl.element().str.replace_all(_CONTROL, " "))
    place = focus(pl.col("position"), radius)
    marked = pl.concat_str(
        clean.list.head(place).list.join(_NEXT),
        pl.lit(_NEXT + _OPEN),
        clean.list.get(place),
        pl.lit(_CLOSE + _NEXT),
        clean.list.slice(place + 1).list.join(_NEXT),
    )
    # Twice: a match takes the letters on both sides, so that of three pieces in a row only two are joined at once.
    for _ in range(2):
        marked = marked.str.replace_all(f"({_LETTER}){_NEXT}({_OPEN}?{_LETTER})", "${1}${2}").str.replace_all(
            f"({_LETTER}{_CLOSE}){_NEXT}({_LETTER})", "${1}${2}"
        )
    parts = marked.str.extract_groups(f"(?s)^((?:[^{_NEXT}]*{_NEXT})*)([^{_NEXT}]*{_OPEN}[^{_NEXT}]*)((?:{_NEXT}.*)?)$")
    return examples.select(parts.alias("parts")).select(
        focus=_named(pl.col("parts").struct[1].str.replace_all(f"[{_OPEN}{_CLOSE}]", "")),
        before=_split(pl.col("parts").struct[0]),
        after=_split(pl.col("parts").struct[2]),
    )


def contexts(examples: pl.DataFrame, radius: int = 12) -> list[Context]:
    """The words of EXAMPLES rows in lower case, in their order."""
    return [in_lower_case(context) for context in written_contexts(examples, radius)]


def written_contexts(examples: pl.DataFrame, radius: int = 12) -> list[Context]:
    """The words of EXAMPLES rows as they are written, in their order."""
    words = example_words(examples, radius)
    columns = (words[name].to_list() for name in words.columns)
    image = (examples["modality"] == "image").to_list()
    return [Context(*row) for row in zip(*columns, image, examples["language"].to_list(), strict=True)]


def in_lower_case(context: Context) -> Context:
    """The same words in lower case."""
    focus, before, after, image, language = context
    return Context(focus.lower(), [w.lower() for w in before], [w.lower() for w in after], image, language)


def _count(tokens: pl.DataFrame) -> pl.DataFrame:
    text = pl.col("token").str.replace_all(_CONTROL, " ")
    joined = (
        text.str.contains(f"^{_LETTER}")
        & text.shift(1).str.contains(f"{_LETTER}$")
        & (pl.col("document_id") == pl.col("document_id").shift(1))
    ).fill_null(False)
    return (
        tokens.with_columns(spelled(tokens))
        .with_columns(text, word_number=(~joined).cum_sum())
        .filter(~(pl.col("special") | pl.col("massive")))
        .group_by("word_number", maintain_order=True)
        .agg(pl.col("token").str.join(), pl.col("language", "modality").first())
        .select("language", "modality", word=_named(pl.col("token")).str.to_lowercase())
    )


def _named(word: pl.Expr) -> pl.Expr:
    stripped = word.str.strip_chars()
    blank = pl.when(word.str.contains("\n", literal=True)).then(pl.lit(LINE_BREAK)).otherwise(pl.lit(SPACES))
    return pl.when(stripped == "").then(blank).otherwise(stripped)


def _split(words: pl.Expr) -> pl.Expr:
    stripped = words.str.split(_NEXT).list.eval(pl.element().str.strip_chars())
    return stripped.list.eval(pl.element().filter(pl.element() != ""))
