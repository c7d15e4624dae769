"""What is stored of steering: completions with features held, beside what the model writes by itself."""

from itertools import pairwise
from typing import Any

import streamlit as st

from catalog_ui import steering_queries
from catalog_ui.access import Reader
from catalog_ui.components.dictionaries import dictionary_name
from catalog_ui.components.records import Column, feature_link, records

ROWS_SHOWN = 200
_TALL = 8
"""Rows from which on a table scrolls in a frame of its own."""
_FRAME_PIXELS = 460

_STRENGTH = Column("strength", "Strength", "number", digits=1, help="Multiple of a feature's largest activation")
_ONE = (
    Column("feature", "Feature", "feature"),
    Column("prompt", "Prompt", "quiet"),
    _STRENGTH,
    Column("unsteered", "By itself the model writes", "written"),
    Column("steered", "With the feature held", "written"),
    Column(
        "logit_shift",
        "Logit shift",
        "signed",
        help="Of the token that the model by itself puts first, against the mean logit",
    ),
)
_SEVERAL = (
    Column("features", "Features held at once"),
    Column("prompt", "Prompt", "quiet"),
    _STRENGTH,
    Column("steered", "With them held", "written"),
    Column("controls", "With random features that move it as far", "written"),
)


def show_stored_steering(reader: Reader) -> str:
    """The stored completions under filters: words of a label or an id, a prompt, a dictionary. Returns the words."""
    words, prompt_id, dictionary_id = _filters(reader)
    chosen = (reader.catalog, dictionary_id, prompt_id, words, ROWS_SHOWN + 1)
    one, several = st.tabs(["One feature", "Several at once"])
    with one:
        rows = [_one_row(row) for row in steering_queries.completions(*chosen).to_dicts()]
        _table(rows, _ONE, "steering", ("feature", "prompt"))
    with several:
        rows = [_several_row(row) for row in steering_queries.held_together(*chosen).to_dicts()]
        _table(rows, _SEVERAL, "held-together", ("features", "prompt"))
    return words


def _filters(reader: Reader) -> tuple[str, str | None, str | None]:
    """Words (or an id, which the address may name), prompt and dictionary; None for any."""
    prompts = dict(steering_queries.steered_prompts(reader.catalog).iter_rows())
    dictionaries = {
        row["dictionary_id"]: row for row in steering_queries.steered_dictionaries(reader.catalog).to_dicts()
    }
    left, middle, right = st.columns([2, 2, 2], vertical_alignment="bottom")
    with left:
        words = st.text_input(
            "Label or id", key="id", bind="query-params", placeholder="golden gate, or dictionary id:index"
        )
    with middle:
        prompt_id = st.selectbox(
            "Prompt", ["", *prompts], format_func=lambda key: prompts[key] if key else "all prompts", key="after"
        )
    with right:
        dictionary_id = st.selectbox(
            "Dictionary",
            ["", *dictionaries],
            format_func=lambda key: dictionary_name(dictionaries[key]) if key else "all dictionaries",
            key="of",
        )
    return (words or "").strip(), prompt_id or None, dictionary_id or None


def _table(rows: list[dict[str, Any]], columns: tuple[Column, ...], key: str, grouped: tuple[str, str]) -> None:
    """A table whose first cells stand once above those that repeat them."""
    shown = rows[:ROWS_SHOWN]
    for above, below in reversed(list(pairwise(shown))):
        if all(above[name] == below[name] for name in grouped):
            below.update(dict.fromkeys(grouped, ""))
    if len(rows) > ROWS_SHOWN:
        st.caption(f"The first {ROWS_SHOWN} completions. Narrow them by words, prompt or dictionary.")
    elif rows:
        st.caption(f"{len(rows)} completions" if len(rows) > 1 else "1 completion")
    with st.container(height=_FRAME_PIXELS if len(shown) > _TALL else "content", border=False):
        records(shown, columns, key=key, empty="Nothing of this is stored: `steering` in the config names what is.")


def _one_row(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "feature": feature_link(row["feature_id"], row["label"], row["recipe"])}


def _several_row(row: dict[str, Any]) -> dict[str, Any]:
    names = " + ".join(row["labels"])
    return {**row, "features": f"{names} ({row['recipe']})", "controls": " / ".join(row["controls"] or [])}
