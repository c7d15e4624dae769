"""Cutting long texts into documents, and counting their words."""

import itertools
import re

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


def chunk_text(text: str, max_words: int = DOCUMENT_WORDS) -> list[str]:
    """Cut a text into stretches of at most `max_words`, at paragraphs where possible, else at lines or words.

    The stretches hold all of the text in order, but for the blank lines around them.
    """
    chunks: list[str] = []
    room = 0
    for atom in _atoms(text, max_words, 0):
        words = count_words(atom)
        if chunks and words <= room:
            chunks[-1] += atom
            room -= words
        else:
            chunks.append(atom)
            room = max_words - words
    trimmed = (_without_blank_lines(chunk) for chunk in chunks)
    return [chunk for chunk in trimmed if chunk]


def _atoms(text: str, max_words: int, level: int) -> list[str]:
    if count_words(text) <= max_words:
        return [text]
    ends = [match.end() for match in _BOUNDARIES[level].finditer(text)]
    cuts = [0, *ends, len(text)]
    parts = [text[start:end] for start, end in itertools.pairwise(cuts) if end > start]
    return [atom for part in parts for atom in _atoms(part, max_words, level + 1)]


def _without_blank_lines(text: str) -> str:
    lines = text.rstrip().splitlines()
    first = next((number for number, line in enumerate(lines) if line.strip()), len(lines))
    return "\n".join(lines[first:])
