"""Compare: two features, or two dictionaries, side by side.

The address names them: `compare?a=<feature>&b=<feature>`, by id or by words, or
`compare?old=<dictionary>&new=<dictionary>`, of which the beginning of an id is enough.
"""

import streamlit as st

from catalog_ui import queries
from catalog_ui.access import Reader, require_reader
from catalog_ui.components.dictionary_choice import choose_pair
from catalog_ui.components.dictionary_pair import show_dictionary, show_figures, show_made_from, show_matches
from catalog_ui.components.feature_choice import choose_feature
from catalog_ui.components.feature_pair import (
    show_between,
    show_concepts,
    show_feature,
    show_logit_weights,
)
from catalog_ui.components.likeness import show_likeness


def _choose_what() -> str:
    """Features or dictionaries, by what the address names."""
    st.session_state["what"] = "dictionaries" if st.query_params.keys() & {"old", "new"} else "features"
    return (
        st.segmented_control(
            "Compare",
            ["features", "dictionaries"],
            required=True,
            key="what",
            on_change=_ask_for_other,
            label_visibility="collapsed",
        )
        or "features"
    )


def _ask_for_other() -> None:
    st.query_params.from_dict({"old": ""} if st.session_state["what"] == "dictionaries" else {})


def _nearest(reader: Reader, feature_id: str) -> str:
    frame = queries.neighbors(reader.catalog, feature_id).filter(scope="same")
    return frame["neighbor_id"][0] if frame.height else feature_id


def _features(reader: Reader) -> None:
    left, right = st.columns(2, gap="large")
    seen = st.session_state.get("feature_seen") or next(iter(queries.best_known(reader.catalog, None, 1)), "")
    with left:
        if (a := choose_feature(reader, "a", "A", seen)) is not None:
            show_feature(reader, "A", a)
    with right:
        if (b := choose_feature(reader, "b", "B", _nearest(reader, a["feature_id"]) if a else seen)) is not None:
            show_feature(reader, "B", b)
    if a is None or b is None:
        return
    show_between(reader, a, b)
    left, right = st.columns([1.4, 1], gap="large")
    with left:
        show_concepts(reader, a, b)
    with right:
        show_logit_weights(reader, a, b)


def _dictionaries(reader: Reader) -> None:
    if (pair := choose_pair(reader)) is None:
        return
    for letter, row, column in zip(("old", "new"), pair, st.columns(2, gap="large"), strict=True):
        with column:
            show_dictionary(letter, row)
    left, right = st.columns([1.4, 1], gap="large")
    with left:
        show_matches(reader, *pair)
        show_likeness(reader, *pair)
    with right:
        show_figures(reader, *pair)
        show_made_from(reader, *pair)


reader = require_reader()
st.title("Compare")
if _choose_what() == "features":
    _features(reader)
else:
    _dictionaries(reader)
