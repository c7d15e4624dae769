"""The choice of the features to hold: searched by words or id, all of one dictionary."""

from typing import Any

import streamlit as st

from catalog_ui import queries
from catalog_ui.access import Reader, show_error
from catalog_ui.wording import is_feature_id
from sae.catalog.search import search
from sae.errors import AtlasError

FOUND = 30
"""Features offered for the words searched."""
MOST = 64
"""Held at once, as the service allows."""


def choose_features(reader: Reader, named: str) -> list[dict[str, Any]]:
    """The features to hold, as rows of `queries.summaries`; `named` is held from the start where it is an id."""
    _take_named(reader, named)
    held: list[str] = st.session_state.get("held", [])
    words = st.text_input("Find features", key="find", placeholder="words or an id", live=True)
    offered = [*held, *_found(reader, (words or "").strip(), held)]
    rows = {row["feature_id"]: row for row in queries.summaries(reader.catalog, offered).to_dicts()}
    chosen = st.multiselect(
        "Features to hold",
        [key for key in dict.fromkeys(offered) if key in rows],
        format_func=lambda key: feature_name(rows[key]),
        key="held",
        max_selections=MOST,
        select_all=False,
        wrap=True,
        placeholder="one or several of one dictionary",
    )
    return [rows[key] for key in chosen]


def feature_name(row: dict[str, Any]) -> str:
    """A feature's label, its dictionary's recipe and its index."""
    return f"{row['label'] or 'no label'} · {row['recipe']} {row['index']}"


def _take_named(reader: Reader, named: str) -> None:
    """Hold the feature that is named, once: beside those of its dictionary, in the place of another's."""
    before = st.session_state.get("named") if "held" in st.session_state else None
    st.session_state["named"] = named
    if named == before or not is_feature_id(named) or queries.feature(reader.catalog, named) is None:
        return
    held = [key for key in st.session_state.get("held", []) if _dictionary(key) == _dictionary(named) and key != named]
    st.session_state["held"] = [*held, named]


def _found(reader: Reader, words: str, held: list[str]) -> list[str]:
    """What may be held besides: live features of current dictionaries, of the same one as those held."""
    current = {row["dictionary_id"] for row in queries.dictionaries(reader.catalog).to_dicts() if row["is_current"]}
    inside = _dictionary(held[0]) if held else None
    try:
        found = (
            search(reader.catalog, words, FOUND, inside)["feature_id"].to_list()
            if words
            else queries.best_known(reader.catalog, inside, FOUND)
        )
    except AtlasError as error:
        show_error(error)
        return []
    rows = {row["feature_id"]: row for row in queries.summaries(reader.catalog, found).to_dicts()}
    return [key for key in found if key in rows and not rows[key]["is_dead"] and _dictionary(key) in current]


def _dictionary(feature_id: str) -> str:
    return feature_id.rpartition(":")[0]
