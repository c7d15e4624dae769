"""How text becomes search terms, the same for the index and for what a user types."""

import re
import unicodedata

LONGEST_TERM = 64
"""Characters; a longer word is cut, in the index and in a query alike."""
_CJK = "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af\U00020000-\U0003ffff"
_RUN = re.compile(rf"[{_CJK}]+|[^\W_{_CJK}]+")
_IS_CJK = re.compile(rf"[{_CJK}]")


def split_words(text: str) -> list[str]:
    """Runs of letters and digits: compatibility forms unified (NFKC), case folded, accents of Latin letters dropped.

    Chinese, Japanese and Korean write words without spaces: a run of their characters is one "word" here.
    """
    return [run[:LONGEST_TERM] for run in _RUN.findall(_fold(text))]


def is_cjk(word: str) -> bool:
    """Whether a word from `split_words` is a run of CJK characters."""
    return bool(_IS_CJK.match(word))


def pairs(word: str) -> list[str]:
    """The overlapping pairs of a CJK run, and its last character: 金門大橋 gives 金門 門大 大橋 橋.

    The pairs stand next to each other, so a phrase of them finds any part of the run, and each single character
    begins one of the terms.
    """
    return [word[i : i + 2] for i in range(len(word))]


def index_terms(text: str) -> str:
    """The terms of a text, separated by spaces, as they go into the index."""
    terms: list[str] = []
    for word in split_words(text):
        terms += pairs(word) if is_cjk(word) else [word]
    return " ".join(terms)


def _fold(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    if folded.isascii():
        return folded
    # Decomposing would also take the voicing marks off kana (ガ to カ): only marks on Latin letters are dropped.
    kept: list[str] = []
    for character in folded:
        parts = unicodedata.normalize("NFD", character)
        kept.append(parts[0] if len(parts) > 1 and parts[0].isascii() else character)
    return "".join(kept)
