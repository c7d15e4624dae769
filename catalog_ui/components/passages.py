"""Passages of text whose tokens are shaded by weight, with the picture where the document holds one.

Tokens are a corpus's own text, so they travel as data and are set as text content, never as markup.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import streamlit as st
from streamlit.components.v2 import component

from catalog_ui.components.sources import script, style

_mount = component("passages", css=style("passages"), js=script("passages"))


@dataclass(frozen=True)
class Passage:
    """Tokens, one weight each, and what stands above them."""

    tokens: list[str]
    weights: list[float]
    focus: int | None = None
    """The token that the passage was kept for; it is underlined."""
    value: str | None = None
    meta: list[str] = field(default_factory=list)
    image: str | None = None
    """A data URI made by `catalog_ui.pictures`."""


def passages(items: Sequence[Passage], key: str, scale: float | None = None) -> None:
    """Draw passages shaded by activation; `scale` is the weight of the darkest shade, the largest here by default."""
    _mount(key=f"passages-{key}", data=passages_data(items, scale))


def token_strip(tokens: list[str], weights: list[float], key: str) -> int | None:
    """Draw one line of tokens shaded by sign and size; the place of the token that is picked, if one is."""
    picked = _picked(key)
    data = passages_data([Passage(tokens, weights)], None) | {"signed": True, "pick": True, "picked": picked}
    _mount(key=key, data=data, on_picked_change=lambda: None)
    return picked if picked is not None and picked < len(tokens) else None


def passages_data(items: Sequence[Passage], scale: float | None) -> dict[str, Any]:
    """What the browser gets: plain JSON, its texts as they are."""
    largest = max((abs(weight) for item in items for weight in item.weights), default=0.0)
    rows = [{name: value for name, value in asdict(item).items() if value is not None} for item in items]
    return {"passages": rows, "scale": scale or largest or 1.0, "signed": False, "pick": False, "picked": None}


def _picked(key: str) -> int | None:
    state = st.session_state.get(key)
    return state.get("picked") if state else None
