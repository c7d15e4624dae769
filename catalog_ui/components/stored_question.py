"""A question of the catalog: its answer through one dictionary, and the way there."""

import polars as pl
import streamlit as st

from catalog_ui import queries
from catalog_ui.access import Reader
from catalog_ui.components.dictionaries import dictionary_name
from catalog_ui.components.explained import show_agreement, show_answer, show_features, show_tokens
from catalog_ui.components.way import show_way
from sae.causal.stored_graph import stored_graph


def show_stored_question(reader: Reader) -> None:
    """Choose a stored question and a dictionary, and show its answer."""
    prompts = {row["prompt_id"]: row for row in queries.prompts(reader.catalog).to_dicts()}
    if not prompts:
        st.info(
            "This catalog holds no attributed question. Name one under `prompts` in the config and run `atlas run`."
        )
        return
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        prompt_id = st.selectbox(
            "Question", list(prompts), format_func=lambda key: prompts[key]["text"], key="prompt", bind="query-params"
        )
    runs = {row["dictionary_id"]: row for row in queries.attribution_runs(reader.catalog, prompt_id or "").to_dicts()}
    with right:
        dictionary_id = st.selectbox(
            "Through",
            list(runs),
            format_func=lambda key: dictionary_name(runs[key]),
            key="through",
            bind="query-params",
        )
    if prompt_id is None or dictionary_id is None:
        return
    prompt, frame = prompts[prompt_id], queries.attributions(reader.catalog, prompt_id, dictionary_id)
    show_answer(prompt, runs[dictionary_id], key="prompt")
    show_way(stored_graph(reader.catalog, prompt_id, dictionary_id), prompt_id)
    sums = dict(frame.group_by("position").agg(pl.col("attribution").sum()).iter_rows())
    tokens = list(prompt["tokens"] or [])
    at_tokens = [sums.get(position, 0.0) for position in range(len(tokens))]
    position = show_tokens(tokens, at_tokens, key=f"strip-{prompt_id}")
    show_features(frame, position, "attributions", "No feature is at work at this position.")
    show_agreement(frame)
