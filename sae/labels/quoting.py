"""Text of a corpus inside a prompt: it can say anything, and cannot leave its place.

Everything that could end an element, begin one, or be read as a control token of a chat format becomes a character
reference, and invisible characters become visible.
"""

import re
import unicodedata

_MARKUP = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}
_CHAT_MARK = re.compile(r"\[(?=/?[A-Z_]+\])")
"""The opening bracket of `[INST]` and its like, which some chat formats read as control tokens."""
_HIDDEN = {"Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp"}
"""Unicode categories that are not seen: controls, format and bidirectional marks, private use, unassigned, breaks."""


def quoted(text: str) -> str:
    """Text as it may stand inside an element or an attribute: on one line, with nothing that acts."""
    for character, reference in _MARKUP.items():
        text = text.replace(character, reference)
    text = _CHAT_MARK.sub("&#91;", text)
    return text if text.isprintable() else "".join(_visible(character) for character in text)


def is_hidden(character: str) -> bool:
    """Whether a character is not seen, or moves others about: no label holds it."""
    return unicodedata.category(character) in _HIDDEN


def _visible(character: str) -> str:
    if character == "\n":
        return "⏎"
    if character == "\t":
        return " "
    return f"&#{ord(character)};" if is_hidden(character) else character
