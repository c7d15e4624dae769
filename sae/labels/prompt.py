"""The labeler's prompt: instructions from a versioned file, and the places of one feature in escaped markup."""

import base64
from collections.abc import Callable, Sequence
from importlib import resources
from itertools import groupby
from typing import Any

from sae.labels.quoting import quoted
from sae.labels.shown import Place

PROMPT_VERSION = "label-1"
"""The file in `prompts/`. A changed wording is a new file with a new number; files that were used never change."""
PICTURE = "<image>"
"""How the token of a picture's patch is written."""
_HEADINGS = {
    "top": "The strongest places",
    "interval": "Places of each level of activity",
    "random": "Active places drawn at random",
    "silent": "Places where it is silent",
}


def wording(version: str = PROMPT_VERSION) -> tuple[str, str]:
    """The two texts of a prompt file: what stands before the places, as the system's message, and what ends the user's.

    The end says again what is wanted, after all that the corpus may have said.
    """
    text = (resources.files("sae.labels") / "prompts" / f"{version}.txt").read_text("utf-8")
    before, end = text.split("\n=====\n")
    return before, end


def label_messages(
    places: Sequence[Place],
    likelier: Sequence[str],
    words: tuple[str, str],
    picture: Callable[[str], bytes] | None = None,
    most_pictures: int = 0,
) -> list[dict[str, Any]]:
    """The chat messages that ask for a feature's label.

    :param likelier: the tokens that the feature makes likelier, strongest first
    :param words: the prompt file's texts, by `wording`
    :param picture: reads a picture (PNG bytes) by its path; None describes pictures in words only
    :param most_pictures: how many different pictures are sent
    """
    text, pictures = _places_text(places, most_pictures if picture else 0)
    if likelier:
        text += "\nTokens that it makes likelier: " + " ".join(f"<token>{quoted(t)}</token>" for t in likelier) + "\n"
    parts: list[dict[str, Any]] = [{"type": "text", "text": text}]
    for path, numbers in pictures.items():
        assert picture is not None
        url = "data:image/png;base64," + base64.b64encode(picture(path)).decode()
        names = ", ".join(str(number) for number in numbers)
        parts.append({"type": "text", "text": f"The picture in example {names}:"})
        parts.append({"type": "image_url", "image_url": {"url": url}})
    before, end = words
    content: Any = [*parts, {"type": "text", "text": end}] if len(parts) > 1 else f"{text}\n{end}"
    return [{"role": "system", "content": before}, {"role": "user", "content": content}]


def marked(tokens: Sequence[str], levels: Sequence[int]) -> str:
    """Escaped tokens, the active ones wrapped with their strength; the patches of one picture are one mark."""
    if PICTURE not in "".join(tokens):
        return _marked_text(tokens, levels)
    pieces: list[str] = []
    for is_patch, run in groupby(range(len(tokens)), key=lambda at: tokens[at].strip() == PICTURE):
        numbers = list(run)
        window = slice(numbers[0], numbers[-1] + 1)
        strongest = max(levels[window])
        if not is_patch:
            pieces.append(_marked_text(tokens[window], levels[window]))
        else:
            pieces.append(f' <picture a="{strongest}"/> ' if strongest else " <picture/> ")
    return "".join(pieces)


def _marked_text(tokens: Sequence[str], levels: Sequence[int]) -> str:
    pieces: list[str] = []
    done = 0
    for at, strength in enumerate(levels):
        if strength:
            # Silent tokens go together: what they spell across tokens is escaped too.
            pieces += [quoted("".join(tokens[done:at])), f'<t a="{strength}">{quoted(tokens[at])}</t>']
            done = at + 1
    return "".join([*pieces, quoted("".join(tokens[done:]))])


def _places_text(places: Sequence[Place], most_pictures: int) -> tuple[str, dict[str, list[int]]]:
    lines, kind = [], ""
    pictures: dict[str, list[int]] = {}
    for number, place in enumerate(places, start=1):
        if place.kind != kind:
            kind = place.kind
            lines += [f"{_HEADINGS[kind]}:" if not lines else f"\n{_HEADINGS[kind]}:"]
        language = quoted(place.language)
        text = marked(place.tokens, place.levels)
        lines.append(f'<example n="{number}" a="{place.level}" language="{language}">{text}</example>')
        path = place.image_path
        if path is None or not any(token.strip() == PICTURE for token in place.tokens):
            continue
        if path in pictures or len(pictures) < most_pictures:
            pictures.setdefault(path, []).append(number)
    return "\n".join(lines) + "\n", pictures
