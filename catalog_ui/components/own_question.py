"""A question of the visitor's own: the inference service explains its answer, in the form of the stored ones."""

from typing import Any

import polars as pl
import streamlit as st

from catalog_ui import queries
from catalog_ui.access import Reader
from catalog_ui.answers import Explained
from catalog_ui.components.asking import answer_to, find_service, picture_input
from catalog_ui.components.dictionaries import dictionary_name
from catalog_ui.components.explained import show_agreement, show_answer, show_features, show_tokens
from catalog_ui.components.way import show_way
from catalog_ui.service import Service
from sae.identity import content_id

LISTED = 30
"""Features listed, and checked by ablation."""

_FEATURES = pl.Schema(
    {
        "feature_id": pl.String,
        "label": pl.String,
        "position": pl.Int64,
        "token": pl.String,
        "activation": pl.Float64,
        "attribution": pl.Float64,
        "ablation_effect": pl.Float64,
    }
)


def show_own_question(reader: Reader) -> None:
    """Ask, where the inference service stands, and show the last answer."""
    service = find_service(reader)
    dictionaries = {
        row["dictionary_id"]: row for row in queries.dictionaries(reader.catalog).to_dicts() if row["is_current"]
    }
    if service is not None and dictionaries:
        _ask(reader, service, dictionaries)
    if "explained" in st.session_state:
        _show(*st.session_state["explained"])


def _ask(reader: Reader, service: Service, dictionaries: dict[str, dict[str, Any]]) -> None:
    dictionary_id = st.selectbox(
        "Through",
        list(dictionaries),
        format_func=lambda key: dictionary_name(dictionaries[key]),
        key="own_through",
        persist_state="session",
    )
    with st.form("own_question"):
        text = st.text_input(
            "Text", key="own_text", placeholder="Fact: The capital of California is", persist_state="session"
        )
        left, right = st.columns(2)
        with left:
            target = st.text_input(
                "Answer to explain", key="own_target", placeholder="Sacramento", persist_state="session"
            )
        with right:
            baseline = st.text_input(
                "Compared with",
                key="own_baseline",
                placeholder="the mean logit",
                help="Another answer, whose logit is taken off that of the first.",
                persist_state="session",
            )
        picture = picture_input(reader, dictionary_id, key="own_picture")
        sent = st.form_submit_button("Explain", type="primary", icon=":material/play_arrow:")
    if not sent:
        return
    st.session_state.pop("explained", None)
    asked = {"dictionary_id": dictionary_id, "text": text, "target": target, "baseline": baseline or None}
    answer = answer_to(service, "/attribute", {**asked, "top": LISTED, "graph": True}, picture, Explained)
    if answer is not None:
        st.session_state["explained"] = (answer, {**asked, "model": dictionaries[dictionary_id]["model"]})


def _show(answer: Explained, asked: dict[str, Any]) -> None:
    found = answer.model_dump()
    show_answer({**asked, **found}, found, key="own-prompt")
    show_way(answer.graph, "asked")
    key = content_id([asked, answer.tokens])
    position = show_tokens(answer.tokens, answer.token_attributions, key=f"strip-{key}")
    frame = pl.DataFrame(found["features"], schema=_FEATURES)
    frame = frame.sort(pl.col("attribution").abs(), descending=True)
    show_features(frame, position, "own-attributions", "None of the features listed is at this position.")
    st.caption("The strongest features are listed, and each was taken out once.")
    show_agreement(frame)
