"""An explained answer: what the model said and how far features account for it, its tokens, its features."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import polars as pl
import streamlit as st

from catalog_ui.components.fact_sheet import Chip, heading
from catalog_ui.components.passages import token_strip
from catalog_ui.components.records import Column, feature_link, records
from catalog_ui.wording import figure, share

ROWS_SHOWN = 40

COLUMNS = (
    Column("position", "Position", "number", digits=0),
    Column("token", "Token", "token"),
    Column("feature", "Feature", "feature"),
    Column("activation", "Activation", "number"),
    Column(
        "attribution",
        "Attribution",
        "signed",
        help="Activation times the gradient of the logit difference along the decoder row",
    ),
    Column("ablation_effect", "Ablation", "signed", help="The logit difference with the feature minus without it"),
)


def show_answer(prompt: Mapping[str, Any], run: Mapping[str, Any], key: str) -> None:
    """What was asked and answered, and how much of the logit difference the features account for."""
    right = prompt["is_correct"]
    against = f"the logit of {prompt['target']!r} minus " + (
        repr(prompt["baseline"]) if prompt["baseline"] else "the mean logit"
    )
    asked = ", as asked." if right else f"; the answer asked for is {prompt['target']!r}."
    heading(
        key,
        prompt["text"],
        f"{prompt['model']} answers {prompt['predicted']!r}{asked}",
        [Chip("right", "good") if right else Chip("wrong", "bad"), Chip(f"explained: {against}")],
        [
            ("Logit difference", figure(run["logit_diff"])),
            ("Attributed to features", figure(run["attributed"])),
            ("Left in the error", figure(run["error_attribution"])),
            ("Error share", share(run["error_share"])),
            ("Attribution against ablation, Spearman", figure(run["ablation_spearman"], 2)),
            ("The same with random features", figure(run["control_spearman"], 2)),
            ("Features at work", f"{run['n_features']:,}"),
        ],
        size="card",
    )


def show_tokens(tokens: Sequence[str], attributions: Sequence[float], key: str) -> int | None:
    """The prompt's tokens shaded by the attribution that meets at each; the position picked."""
    if not tokens:
        return None
    st.caption(
        "Tokens by the sum of their features' attributions: "
        "green speaks for the answer, red against. Click one to filter."
    )
    return token_strip(list(tokens), list(attributions), key=key)


def show_features(frame: pl.DataFrame, position: int | None, key: str, empty: str) -> None:
    """Features on the way, the strongest first, at one position or at all.

    frame: feature_id, label, position, token, activation, attribution, ablation_effect.
    """
    shown = frame if position is None else frame.filter(pl.col("position") == position)
    st.subheader("Features on the way")
    rows = [
        {**row, "feature": feature_link(row["feature_id"], row["label"])} for row in shown.head(ROWS_SHOWN).to_dicts()
    ]
    records(rows, COLUMNS, key=key, empty=empty)
    if shown.height > ROWS_SHOWN:
        st.caption(f"The strongest {ROWS_SHOWN} of {shown.height}, by the size of their attribution.")


def show_agreement(frame: pl.DataFrame) -> None:
    """Attribution against ablation, a point for each feature that was taken out."""
    measured = frame.drop_nulls("ablation_effect").select("attribution", "ablation_effect", "token", "position")
    if measured.height < 3:
        return
    st.subheader("Attribution against ablation")
    chart = (
        alt.Chart(measured.to_arrow())
        .mark_circle(size=42, opacity=0.75, color="#4C78A8")
        .encode(
            x=alt.X("attribution:Q", title="attribution"),
            y=alt.Y("ablation_effect:Q", title="ablation effect"),
            tooltip=["position:Q", "attribution:Q", "ablation_effect:Q"],
        )
        .properties(height=280)
    )
    st.altair_chart(chart)
    st.caption("Each point is a feature at a position. A gradient that tells the truth puts them on a rising line.")
