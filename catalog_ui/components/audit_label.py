"""A label back to what it was written from: label ← reply ← prompt ← examples ← their documents."""

from typing import Any

import streamlit as st

from catalog_ui import audit_queries, queries
from catalog_ui.access import Reader
from catalog_ui.components.audit_run import run_facts
from catalog_ui.components.examples import example_passage
from catalog_ui.components.fact_sheet import Chip, fact_list, heading
from catalog_ui.components.passages import passages
from catalog_ui.components.records import Column, feature_link, records
from catalog_ui.wording import share, when
from sae.catalog.query import Catalog

Row = dict[str, Any]

LONG_TEXT = 1200
"""Characters of a prompt or reply from which on it is shown in a box of a fixed height."""

_LINE = [
    Column("label", "Label", "feature", page="audit"),
    Column("labeler", "Labeler", "short"),
    Column("origin", "Origin", "short"),
    Column("status", "Status", "short"),
    Column("created", "Written", "short"),
]


def show_label(reader: Reader, label: Row, in_force: bool) -> None:
    """The label itself: who wrote it, when, in which run; its scores; the labels that it comes from."""
    st.subheader("Label")
    heading(
        "label",
        label["label"] or "No label came of it",
        label["explanation"],
        [
            Chip("in force", "good") if in_force else Chip("not in force"),
            Chip(label["origin"]),
            Chip(label["label_id"]),
            *([] if label["status"] == "ok" else [Chip(label["status"], "bad")]),
        ],
        [("Labeler", label["labeler"]), ("Confidence", share(label["confidence"]))],
        size="card",
    )
    fact_list("label-facts", [("Written", when(label["created_at"])), *run_facts(reader.catalog, label["run_id"])])
    scores = queries.label_scores(reader.catalog, label["label_id"]).to_dicts()
    columns = [
        Column("scorer", "Scorer"),
        Column("score", "Score", "bar", scale=1.0),
        Column("n", "Judged", "number", digits=0),
        Column("model", "Model", "quiet"),
        Column("seed", "Seed", "number", digits=0),
    ]
    records(scores, columns, key="audit-scores", empty="No scorer has read this label.")
    if label["parent_label_id"]:
        st.caption("It comes from these, the nearest first:")
        records(_line(audit_queries.ancestors(reader.catalog, label["label_id"]).to_dicts()), _LINE, key="ancestors")


def show_prompt(label: Row) -> None:
    """What was asked of whom, with which settings, at what cost, and what came back."""
    st.subheader("Prompt and reply")
    fact_list(
        "prompt",
        [
            ("Asked of", " · ".join(part for part in (label["labeler"], label["model"]) if part)),
            ("Prompt version", label["prompt_version"]),
            ("Prompt SHA-256", label["prompt_sha256"]),
            ("Seed", label["seed"]),
            ("Temperature", label["temperature"]),
            ("Attempt", label["attempt"]),
            ("Tokens in, out", f"{label['input_tokens'] or 0:,}, {label['output_tokens'] or 0:,}"),
            ("Cost", f"{label['cost_usd'] or 0:.4f} USD"),
        ],
    )
    st.caption("Prompt")
    _text(label["prompt"], "none: nothing was asked")
    st.caption("Reply, as it came")
    _text(label["raw_reply"], "none: this labeler asks no model")


def show_evidence(reader: Reader, label: Row) -> None:
    """The passages that the labeler was shown, those held out to score it, and the shards that they come from."""
    st.subheader("Examples")
    feature_id, label_id = label["feature_id"], label["label_id"]
    shown, held_out, sources = st.tabs(["Shown", "Held out", "Shards"])
    for tab, use, n, what in (
        (shown, "shown", label["n_shown"], "were shown to the labeler"),
        (held_out, "held_out", label["n_held_out"], "were kept from it, to score the label"),
    ):
        with tab:
            st.caption(f"{n:,} {what}; the strongest are below." if n else f"None {what}.")
            found = audit_queries.label_passages(reader.catalog, feature_id, label_id, use).to_dicts()
            if found:
                passages([example_passage(reader, example) for example in found], key=f"audit-{use}")
    with sources:
        rows = audit_queries.example_sources(reader.catalog, feature_id, label_id).to_dicts()
        columns = [
            Column("shard", "Shard", "mono"),
            Column("language", "Language", "short"),
            Column("shown", "Shown", "number", digits=0),
            Column("held_out", "Held out", "number", digits=0),
        ]
        records(rows, columns, key="example-sources", empty="None of its examples is in the catalog any more.")


def show_descendants(catalog: Catalog, label_id: str) -> None:
    """The labels that were carried from a label, or that correct it."""
    rows = _line(audit_queries.descendants(catalog, label_id).to_dicts())
    if rows:
        st.caption("Labels that were carried from it or correct it:")
        records(rows, _LINE, key="descendants")


def _line(rows: list[Row]) -> list[Row]:
    return [
        {
            **row,
            "label": feature_link(row["label_id"], row["label"] or row["label_id"], row["feature_id"] or "not here"),
            "created": when(row["created_at"]),
        }
        for row in rows
    ]


def _text(text: str | None, otherwise: str) -> None:
    st.code(text or otherwise, language=None, wrap_lines=True, height=240 if len(text or "") > LONG_TEXT else "content")
