"""Feature: one latent, its label and where that came from, its examples, neighbours, effects and concepts.

The address names it: `feature?id=<dictionary_id>:<index>`.
"""

from typing import Any

import streamlit as st

from catalog_ui import queries
from catalog_ui.access import Reader, require_reader
from catalog_ui.components.fact_sheet import Chip, heading
from catalog_ui.components.family_tree import show_family
from catalog_ui.components.feature_sections import (
    show_concepts,
    show_examples,
    show_histograms,
    show_logit_weights,
    show_neighbours,
    show_origin,
)
from catalog_ui.wording import figure, is_feature_id, mix, one_in, share
from sae.catalog.successors import successors_of, went

STEERING_PAGE = "app_pages/steering.py"


def _choose(reader: Reader) -> dict[str, Any]:
    """The feature that the address names, or the one seen last, or a page that says what to do and ends the run."""
    named = st.query_params.get("id") or st.session_state.get("feature_seen") or ""
    text = named.strip() or next(iter(queries.best_known(reader.catalog, None, 1)), "")
    st.session_state["goto"] = text
    st.text_input(
        "Feature",
        key="goto",
        on_change=_go_to_text,
        placeholder="dictionary id:index",
        label_visibility="collapsed",
    )
    row = queries.feature(reader.catalog, text) if is_feature_id(text) else None
    if row is None and (rows := successors_of(reader.catalog, text)):
        row = _successor(reader, rows)
    if row is None:
        st.session_state.pop("feature_seen", None)
        st.title("No such feature")
        st.text(f"The catalog has no feature {text!r}.")
        st.markdown("An id reads `<dictionary_id>:<index>`. Find features by words on the Search page.")
        st.page_link("app_pages/search.py", label="Search", icon=":material/search:")
        st.stop()
    st.session_state["feature_seen"] = row["feature_id"]
    return row


def _successor(reader: Reader, rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The feature that carries on one of a replaced dictionary, under a word on where that went."""
    heir = rows[0]["successor_id"]
    if heir is None:
        st.session_state.pop("feature_seen", None)
        st.title("Retired feature")
        st.text(went(rows))
        st.page_link("app_pages/search.py", label="Search", icon=":material/search:")
        st.stop()
    with st.container(key="successor"):
        st.text(went(rows))
        for row in rows[1:]:
            st.button(f"Open {row['successor_id']}", key=f"to{row['rank']}", on_click=_go, args=(row["successor_id"],))
    return queries.feature(reader.catalog, heir)


def _go_to_text() -> None:
    _go(st.session_state["goto"])


def _go(feature_id: str) -> None:
    st.query_params["id"] = feature_id


def _heading(row: dict[str, Any]) -> None:
    chips = [Chip(f"{row['site']} · {row['recipe']}"), Chip(row["feature_id"])]
    if row["cluster"]:
        chips.append(Chip(row["cluster"]))
    if row["is_dead"]:
        chips.append(Chip("dead: silent on every token read", "bad"))
    if not row["is_current"]:
        chips.append(Chip("of a superseded dictionary", "bad"))
    heading(
        "heading",
        row["label"] or f"Feature {row['index']}, no label",
        row["explanation"] or "",
        chips,
        [
            ("Label's confidence", share(row["confidence"])),
            ("Fires on", one_in(row["density"])),
            ("Largest activation", figure(row["max_activation"])),
            ("Mean when active", figure(row["mean_activation"])),
            ("Languages", mix(row["languages"])),
            ("Modalities", mix(row["modalities"])),
            ("Nearest neuron, Pearson", figure(row["max_neuron_correlation"], 2)),
            ("Decoder norm", figure(row["decoder_norm"])),
        ],
    )


def _steps(row: dict[str, Any]) -> None:
    with st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center", gap="small"):
        if not row["is_dead"]:
            st.page_link(STEERING_PAGE, label="Steer", icon=":material/tune:", query_params={"id": row["feature_id"]})
        for step, name, icon in ((-1, "Previous", ":material/arrow_back:"), (1, "Next", ":material/arrow_forward:")):
            index = row["index"] + step
            st.button(
                name,
                key=f"step{step}",
                icon=icon,
                disabled=not 0 <= index < row["d_sae"],
                on_click=_go,
                args=(f"{row['dictionary_id']}:{index}",),
            )


reader = require_reader()
top = st.columns([3, 2], vertical_alignment="center")
with top[0]:
    row = _choose(reader)
with top[1]:
    _steps(row)
_heading(row)
left, right = st.columns([1.75, 1], gap="large")
with left:
    show_examples(reader, row)
    show_neighbours(reader, row)
    show_family(reader, row)
    show_histograms(reader, row)
with right:
    show_origin(reader, row)
    show_concepts(reader, row)
    show_logit_weights(reader, row)
