"""Search: features by what their labels, explanations and strongest tokens say."""

from typing import Any

import streamlit as st

from catalog_ui import queries
from catalog_ui.access import require_reader, show_error
from catalog_ui.components.dictionaries import dictionary_name
from catalog_ui.components.records import Column, feature_link, records
from catalog_ui.wording import one_in
from sae.catalog.search import search
from sae.errors import AtlasError

PAGE_SIZE = 50

COLUMNS = (
    Column("feature", "Feature", "feature"),
    Column("tokens", "Strongest tokens", "quiet"),
    Column("score", "Score", "bar", help="How well the words match, by BM25"),
    Column("density", "Fires on", "short"),
    Column("f1", "Best concept F1", "bar", scale=1.0, help="Measured on held-out documents with known concepts"),
    Column("concept", "Concept", "quiet"),
    Column("where", "Dictionary", "short"),
)


def _row(row: dict[str, Any], score: float | None) -> dict[str, Any]:
    return {
        "feature": feature_link(row["feature_id"], row["label"], row["explanation"] or ""),
        "tokens": " ".join(repr(token)[1:-1] for token in (row["top_tokens"] or [])[:5]),
        "score": score,
        "density": "dead" if row["is_dead"] else one_in(row["density"]),
        "f1": row["f1"],
        "concept": row["concept"] or "",
        "where": f"{row['recipe']} · {row['index']}",
    }


reader = require_reader()
st.title("Search")
dictionaries = {row["dictionary_id"]: row for row in queries.dictionaries(reader.catalog).to_dicts()}
box, choice = st.columns([3, 2], vertical_alignment="bottom")
with box:
    query = st.text_input(
        "Label, explanation, token or id", key="q", bind="query-params", placeholder="golden gate", live=True
    )
with choice:
    chosen = st.selectbox(
        "In",
        ["", *dictionaries],
        format_func=lambda key: dictionary_name(dictionaries[key]) if key else "all dictionaries",
        key="in",
        bind="query-params",
    )
dictionary_id = chosen or None

try:
    if (query or "").strip():
        hits = search(reader.catalog, query.strip(), PAGE_SIZE, dictionary_id)
        scores = dict(zip(hits["feature_id"], hits["score"], strict=True))
        st.caption(f"{len(scores)} features" + (", the best ones" if len(scores) == PAGE_SIZE else ""))
        columns = COLUMNS
        empty = "No feature matches. Try a shorter word; the beginning of one is enough."
    else:
        scores = dict.fromkeys(queries.best_known(reader.catalog, dictionary_id, PAGE_SIZE))
        st.caption("The best-known features: highest concept F1 first, then the most certain labels.")
        columns = tuple(column for column in COLUMNS if column.key != "score")
        empty = "This catalog holds no live feature."
except AtlasError as error:
    show_error(error)
    st.stop()

found = {row["feature_id"]: row for row in queries.summaries(reader.catalog, list(scores)).to_dicts()}
records([_row(found[key], score) for key, score in scores.items() if key in found], columns, key="results", empty=empty)
