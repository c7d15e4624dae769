"""Two dictionaries side by side: figures, what they were made from, what became of the features."""

import json
from typing import Any

import streamlit as st

from catalog_ui import dictionary_pair_queries, provenance_queries
from catalog_ui.access import Reader
from catalog_ui.components.dictionaries import dictionary_figures, state_of
from catalog_ui.components.fact_sheet import Chip, heading
from catalog_ui.components.records import AUDIT_PAGE, Column, feature_link, records
from catalog_ui.dictionary_pair_queries import ROWS_SHOWN, STATUSES
from catalog_ui.wording import when
from sae.dictionaries.differences import QUALITY, made_from, measures, shards, shards_in_words

Row = dict[str, Any]

_MEANING = {
    "carried": "The same feature in both; those whose activations agree least stand first.",
    "split": "It took a part of a feature of the old one.",
    "merged": "A feature of the new one that carries on several of the old one.",
    "new": "Nothing of the old one matches; those that fire most often stand first.",
    "retired": "Nothing of the new one matches.",
}


def show_dictionary(letter: str, row: Row) -> None:
    """What one of the two is."""
    facts = [*dictionary_figures(row), ("Trained", when(row["created_at"]))]
    chips = [Chip(letter), state_of(row), Chip(row["site"]), Chip(row["dictionary_id"])]
    heading(f"dictionary-{letter}", row["recipe"], row["rejected_because"] or "", chips, facts, size="card")
    st.page_link(
        AUDIT_PAGE,
        label="Where it came from",
        icon=":material/fact_check:",
        query_params={"id": row["dictionary_id"]},
    )


def show_figures(reader: Reader, old: Row, new: Row) -> None:
    """Every measure of both, and whether their intervals lie apart."""
    st.subheader("How good they are")
    sides = [_figures(reader, row) for row in (old, new)]
    rows = []
    for row in measures(*sides):
        was, now = row["old"] or {}, row["new"] or {}
        rows.append(
            {
                "metric": row["metric"],
                "old": was.get("value"),
                "new": now.get("value"),
                "change": _difference(now.get("value"), was.get("value")),
                "apart": _apart(was, now),
            }
        )
    columns = [
        Column("metric", "Measure", "short"),
        Column("old", "Old", "number", digits=3),
        Column("new", "New", "number", digits=3),
        Column("change", "Change", "number", digits=3),
        Column(
            "apart",
            "95% intervals",
            "chip",
            help="Blank where the two intervals overlap, or where one was not measured",
        ),
    ]
    records(rows, columns, key="pair-figures")
    st.caption("Each is measured on its own held-out tokens; the catalog holds the evaluation of current ones alone.")


def show_made_from(reader: Reader, old: Row, new: Row) -> None:
    """What of recipe, code, model, reading and shards differs."""
    st.subheader("Made from")
    was, now = (provenance_queries.facts_of(reader.catalog, row["dictionary_id"]) for row in (old, new))
    rows = [{"what": row["what"], "old": _value(row["old"]), "new": _value(row["new"])} for row in made_from(was, now)]
    columns = [Column("what", "What differs", "short"), Column("old", "Old", "mono"), Column("new", "New", "mono")]
    records(rows, columns, key="pair-made-from", empty="Recipe, code, model and reading are the same.")
    st.text(shards_in_words(shards(was, now)))


def show_matches(reader: Reader, old: Row, new: Row) -> None:
    """What became of the features of a replaced dictionary, by the matches that the platform recorded."""
    st.subheader("What became of the features")
    ids = old["dictionary_id"], new["dictionary_id"]
    counts = {row["status"]: row for row in dictionary_pair_queries.match_counts(reader.catalog, *ids).to_dicts()}
    if not counts:
        st.caption(
            "No match of these two is recorded: that is done from a replaced dictionary to the current one. "
            "This command matches any two that read the same place:"
        )
        st.code(f"atlas diff {ids[0]} {ids[1]}", language="bash")
        return
    columns = [
        Column("status", "Status", "short"),
        Column("n", "Features", "bar", digits=0),
        Column("cosine", "Median cosine", "number"),
        Column("correlation", "Median correlation", "number", help="Pearson, of their activations"),
    ]
    records([counts[status] for status in STATUSES if status in counts], columns, key="pair-statuses")
    known = [status for status in STATUSES if status in counts]
    status = st.segmented_control("Show", known, default=known[0], required=True, key="status") or known[0]
    st.caption(_MEANING[status])
    found = dictionary_pair_queries.matches(reader.catalog, *ids, status).to_dicts()
    rows = [
        {
            **row,
            "old": row["previous_feature_id"] and feature_link(row["previous_feature_id"], row["previous_feature_id"]),
            "new": row["feature_id"] and feature_link(row["feature_id"], row["label"]),
        }
        for row in found
    ]
    columns = [
        Column("old", "Old", "feature"),
        Column("new", "New", "feature"),
        Column("cosine", "Cosine", "bar", scale=1.0),
        Column("activation_correlation", "Correlation", "bar", scale=1.0),
    ]
    records(rows, columns, key=f"pair-matches-{status}")
    if counts[status]["n"] > ROWS_SHOWN:
        st.caption(f"{ROWS_SHOWN} of {counts[status]['n']:,}.")


def _figures(reader: Reader, row: Row) -> dict[str, Row]:
    """A row of value and interval by metric; those that the gate judged by, where nothing was evaluated."""
    found = {name: {"value": row[name], "ci_low": None, "ci_high": None} for name in QUALITY}
    for claim in dictionary_pair_queries.evaluation(reader.catalog, row["dictionary_id"]).to_dicts():
        if claim["metric"] not in found or found[claim["metric"]]["ci_low"] is None:
            found[claim["metric"]] = claim
    return found


def _difference(now: float | None, was: float | None) -> float | None:
    return None if now is None or was is None else now - was


def _apart(was: Row, now: Row) -> dict[str, str] | None:
    up, down = (_difference(one.get("ci_low"), other.get("ci_high")) for one, other in ((now, was), (was, now)))
    if up is None or down is None:
        return None
    apart = up > 0 or down > 0
    return {"text": "apart", "tone": "plain"} if apart else None


def _value(value: Any) -> str:
    return "–" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
