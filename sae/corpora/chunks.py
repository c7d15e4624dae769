"""Cutting long texts into documents, and counting their words."""

import re
from collections.abc import Iterator

DOCUMENT_WORDS = 200
"""Longest document made from a longer text, in words and punctuation marks."""

SHARD_WORDS = 250_000
"""Largest shard of a corpus with a budget of tokens: what bounds the memory that a shard takes."""

_WORD = re.compile(r"\w+|[^\w\s]")
_BOUNDARIES = (re.compile(r"\n[ \t]*\n\s*?(?=\S|[ \t]+\S)"), re.compile(r"\n"), re.compile(r"\s+"), _WORD)
"""Where a text may be cut, best first: after a paragraph, a line, a space, any word."""


def count_words(text: str) -> int:
    """Words and punctuation marks: a tokenizer-free measure of length."""
    return len(_WORD.findall(text))


def chunk_text(text: str, max_words: int = DOCUMENT_WORDS) -> Iterator[str]:
    """Cut a text into stretches of at most `max_words`, at paragraphs where possible, else at lines or words.

    The stretches hold all of the text in order, but for the blank lines around them. They come one by one: of a long
    text only what is taken is cut.
    """
    chunk, room = "", max_words
    for atom, words in _atoms(text, max_words, 0):
        if words > room:
            yield from _trimmed(chunk)
            chunk, room = "", max_words
        chunk += atom
        room -= words
    yield from _trimmed(chunk)


def _atoms(text: str, max_words: int, level: int) -> Iterator[tuple[str, int]]:
    """Pieces that are not cut any further, with their words."""
    start = 0
    for match in _BOUNDARIES[level].finditer(text):
        yield from _fitting(text[start : match.end()], max_words, level)
        start = match.end()
    yield from _fitting(text[start:], max_words, level)


def _fitting(part: str, max_words: int, level: int) -> Iterator[tuple[str, int]]:
    words = count_words(part)
    if words <= max_words:
        yield part, words
    else:
        yield from _atoms(part, max_words, level + 1)


def _trimmed(text: str) -> Iterator[str]:
    """The text without blank lines around it; nothing where it has no word."""
    lines = text.rstrip().splitlines()
    first = next((number for number, line in enumerate(lines) if line.strip()), len(lines))
    if lines[first:]:
        yield "\n".join(lines[first:])
