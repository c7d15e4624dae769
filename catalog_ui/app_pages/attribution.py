"""Attribution: which features carry a stored question to its answer, by gradient and by ablation."""

from typing import Any

import altair as alt
import polars as pl
import streamlit as st

from catalog_ui import queries
from catalog_ui.access import require_reader
from catalog_ui.components.dictionaries import dictionary_name
from catalog_ui.components.fact_sheet import Chip, heading
from catalog_ui.components.passages import token_strip
from catalog_ui.components.records import Column, feature_link, records
from catalog_ui.wording import figure, share
from sae.catalog.query import Catalog
from sae.causal.graph_svg import graph_svg
from sae.causal.stored_graph import stored_graph

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


def _answer(prompt: dict[str, Any], run: dict[str, Any]) -> None:
    right = prompt["is_correct"]
    against = f"the logit of {prompt['target']!r} minus " + (
        repr(prompt["baseline"]) if prompt["baseline"] else "the mean logit"
    )
    asked = ", as asked." if right else f"; the answer asked for is {prompt['target']!r}."
    heading(
        "prompt",
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


def _strip(prompt: dict[str, Any], frame: pl.DataFrame) -> int | None:
    """The prompt's tokens shaded by the attribution that meets at each; the position picked."""
    tokens = list(prompt["tokens"] or [])
    if not tokens:
        return None
    sums = dict(frame.group_by("position").agg(pl.col("attribution").sum()).iter_rows())
    st.caption(
        "Tokens by the sum of their features' attributions: "
        "green speaks for the answer, red against. Click one to filter."
    )
    return token_strip(
        tokens, [sums.get(position, 0.0) for position in range(len(tokens))], key=f"strip-{prompt['prompt_id']}"
    )


def _scatter(frame: pl.DataFrame) -> None:
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


def _graph(catalog: Catalog, prompt_id: str, dictionary_id: str) -> None:
    """The way to the answer, site by site, as a picture: inside one, an SVG can run nothing and load nothing."""
    st.subheader("The way to the answer")
    graph = stored_graph(catalog, prompt_id, dictionary_id)
    drawing = graph_svg(graph)
    st.image(drawing, width="content")
    if len(graph.sites) > 1:
        st.caption(
            "From bottom to top: features of an earlier site, those of a later one that they act on, the answer."
        )
    else:
        st.caption(
            "The model is read at one site, so there is one level of features. A later site under `sites` adds one."
        )
    st.download_button("SVG", drawing, file_name=f"{prompt_id}.svg", mime="image/svg+xml", icon=":material/download:")


reader = require_reader()
st.title("Attribution")
prompts = {row["prompt_id"]: row for row in queries.prompts(reader.catalog).to_dicts()}
if not prompts:
    st.info("This catalog holds no attributed question. Name one under `prompts` in the config and run `atlas run`.")
    st.stop()
left, right = st.columns([3, 2], vertical_alignment="bottom")
with left:
    prompt_id = st.selectbox(
        "Question", list(prompts), format_func=lambda key: prompts[key]["text"], key="prompt", bind="query-params"
    )
runs = {row["dictionary_id"]: row for row in queries.attribution_runs(reader.catalog, prompt_id or "").to_dicts()}
with right:
    dictionary_id = st.selectbox(
        "Through", list(runs), format_func=lambda key: dictionary_name(runs[key]), key="through", bind="query-params"
    )
if prompt_id is None or dictionary_id is None:
    st.stop()
prompt, run = prompts[prompt_id], runs[dictionary_id]
_answer(prompt, run)
_graph(reader.catalog, prompt_id, dictionary_id)
frame = queries.attributions(reader.catalog, prompt_id, dictionary_id)
position = _strip(prompt, frame)
shown = frame if position is None else frame.filter(pl.col("position") == position)
st.subheader("Features on the way")
rows = [{**row, "feature": feature_link(row["feature_id"], row["label"])} for row in shown.head(ROWS_SHOWN).to_dicts()]
records(rows, COLUMNS, key="attributions", empty="No feature is at work at this position.")
if shown.height > ROWS_SHOWN:
    st.caption(f"The strongest {ROWS_SHOWN} of {shown.height}, by the size of their attribution.")
_scatter(frame)
