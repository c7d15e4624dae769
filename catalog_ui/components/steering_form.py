"""Steering by hand: the inference service holds features while the model writes, beside what it writes by itself."""

from typing import Any

import streamlit as st

from catalog_ui import queries, steering_queries
from catalog_ui.access import Reader
from catalog_ui.answers import Steered
from catalog_ui.components.asking import answer_to, find_service, picture_input
from catalog_ui.components.fact_sheet import heading
from catalog_ui.components.held_features import choose_features, feature_name
from catalog_ui.components.passages import Passage, passages
from catalog_ui.components.records import Column, feature_link, records
from catalog_ui.pictures import small_uri
from catalog_ui.service import Service
from catalog_ui.wording import figure

STRENGTH = 5.0
"""What a feature is held at by default: a multiple of its largest activation."""
MOST_STRENGTH = 1_000.0
"""As the service allows."""
TOKENS = 12
MOST_TOKENS = 256

_HELD = (
    Column("feature", "Feature held", "feature"),
    Column("strength", "Strength", "number", digits=1),
    Column("held_at", "Held at", "number", help="Its activation at every token"),
)


def show_steering_form(reader: Reader, named: str) -> None:
    """Ask, where the inference service stands, and show the last answer. `named`: a feature's id to start from."""
    service = find_service(reader)
    if service is not None:
        _ask(reader, service, named)
    if "steered" in st.session_state:
        _show(reader, *st.session_state["steered"])


def _ask(reader: Reader, service: Service, named: str) -> None:
    left, right = st.columns(2, gap="large")
    with left:
        features = choose_features(reader, named)
        strengths = [_strength(row) for row in features]
    with right, st.form("steer"):
        text = st.text_area(
            "Prompt", key="steered_text", value=_first_prompt(reader), height=80, persist_state="session"
        )
        tokens = st.number_input("Tokens to write", 1, MOST_TOKENS, TOKENS, key="steered_tokens")
        picture = picture_input(reader, features[0]["dictionary_id"], "steered_picture") if features else None
        sent = st.form_submit_button("Steer", type="primary", icon=":material/play_arrow:", disabled=not features)
    if not sent:
        return
    st.session_state.pop("steered", None)
    held = [{"feature_id": row["feature_id"], "strength": s} for row, s in zip(features, strengths, strict=True)]
    body = {"dictionary_id": features[0]["dictionary_id"], "text": text, "features": held, "tokens": tokens}
    answer = answer_to(service, "/steer", body, picture, Steered)
    if answer is not None:
        st.session_state["steered"] = (answer, small_uri(picture) if picture else None)


def _strength(row: dict[str, Any]) -> float:
    name, box = st.columns([3, 1.3], vertical_alignment="center")
    with name:
        st.text(feature_name(row))
    with box:
        return st.number_input(
            "Strength",
            -MOST_STRENGTH,
            MOST_STRENGTH,
            STRENGTH,
            key=f"strength-{row['feature_id']}",
            step=1.0,
            format="%.1f",
            help="Multiple of the feature's largest activation. 0 holds nothing, below 0 pushes the other way.",
        )


def _first_prompt(reader: Reader) -> str:
    texts = steering_queries.steered_prompts(reader.catalog)["text"]
    return texts[0] if len(texts) else ""


def _show(reader: Reader, answer: Steered, picture: str | None) -> None:
    shift = figure(answer.logit_shift)
    lead = f"Steering changes the logit of the model's own first token by {shift}."
    heading("steered", answer.text, lead, size="card")
    left, right = st.columns(2, gap="large")
    for column, title, written in ((left, "By itself", answer.unsteered), (right, "Steered", answer.steered)):
        with column:
            passages([Passage([written], [0.0], value=title, image=picture)], key=f"written-{title}")
    labels = {
        row["feature_id"]: row["label"]
        for row in queries.summaries(reader.catalog, [one.feature_id for one in answer.features]).to_dicts()
    }
    rows = [
        {
            "feature": feature_link(one.feature_id, labels.get(one.feature_id)),
            "strength": one.strength,
            "held_at": one.held_at,
        }
        for one in answer.features
    ]
    records(rows, _HELD, key="held-answer")
