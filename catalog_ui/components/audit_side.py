"""Beside the chain: how to verify it, what people said of the labels, and what depends on what was asked about."""

import shlex
from typing import Any

import polars as pl
import streamlit as st

from catalog_ui import audit_queries
from catalog_ui.access import Reader
from catalog_ui.components.records import Column, feature_link, records
from catalog_ui.wording import when
from sae.catalog.lineage import dependants_by_asset, sources_by_asset

Row = dict[str, Any]

_CELLS = [
    Column("asset", "Asset", "short"),
    Column("partitions", "Partitions", "quiet"),
    Column("depth", "Steps", "number", digits=0),
    Column("code_version", "Code", "short", help="Version of the asset's code"),
    Column("made", "Made", "short", help="When the newest was made, UTC"),
]


def show_verification(name: str) -> None:
    """The command that computes the hashes again."""
    st.subheader("Verify it")
    st.caption("This page shows what is recorded. The command below computes each hash on the way again.")
    st.code(f"atlas audit {shlex.quote(name)}", language="bash")


def show_history(reader: Reader, feature_id: str, here: str | None) -> None:
    """Every label that the feature has had, and what people said of them."""
    st.subheader("Labels of this feature")
    rows = [
        {
            "label": feature_link(row["label_id"], row["label"] or row["label_id"], _written(row)),
            "state": _state(row, here),
        }
        for row in audit_queries.history(reader.catalog, feature_id).to_dicts()
    ]
    columns = [Column("label", "Label, newest first", "feature", page="audit"), Column("state", "", "chip")]
    records(rows, columns, key="label-history", empty="It has had none.")
    st.subheader("Reviews")
    said = [
        {**row, "created": when(row["created_at"]), "said": _said(row)}
        for row in audit_queries.reviews(reader.catalog, feature_id).to_dicts()
    ]
    columns = [
        Column("verdict", "Verdict", "short"),
        Column("reviewer", "By", "short"),
        Column("said", "Of what, and why"),
        Column("created", "When", "short"),
    ]
    records(said, columns, key="reviews", empty="Nobody has reviewed its labels: atlas review does that.")


def show_dependants(reader: Reader, counts: pl.DataFrame, asset: str, pair: str | None) -> None:
    """The rows that stand for what was asked about, and the assets that are made from it.

    :param pair: the partition of `asset`; None where no lineage is kept of it
    """
    st.subheader("What depends on it")
    columns = [Column("what", "In this catalog"), Column("n", "Rows", "number", digits=0)]
    records(counts.to_dicts(), columns, key="counts", empty="Nothing in this catalog.")
    if pair is None:
        st.caption("Lineage is kept of what is current.")
        return
    st.caption("Assets that come from it, directly or through others; a change of it makes them again.")
    records(_cells(dependants_by_asset(reader.catalog, asset, pair)), _CELLS, key="dependants", empty="None.")


def show_sources(reader: Reader, asset: str, pair: str) -> None:
    """The assets on the way to the sources, the nearest first."""
    st.subheader("All assets on the way")
    records(_cells(sources_by_asset(reader.catalog, asset, pair)), _CELLS, key="sources", empty="None is recorded.")


def _cells(frame: pl.DataFrame) -> list[Row]:
    return [{**row, "partitions": _partitions(row), "made": when(row["finished_at"])} for row in frame.to_dicts()]


def _partitions(row: Row) -> str:
    named = [name for name in row["partitions"] if name]
    more = row["n_partitions"] - len(named)
    return ", ".join(named) + (f" and {more:,} more" if more > 0 else "")


def _written(row: Row) -> str:
    parts = (row["labeler"], row["model"], row["origin"], when(row["created_at"]))
    return " · ".join(part for part in parts if part)


def _state(row: Row, here: str | None) -> dict[str, str]:
    if row["in_force"]:
        return {"text": "in force", "tone": "good"}
    if row["status"] != "ok":
        return {"text": row["status"], "tone": "bad"}
    return {"text": "this one" if row["label_id"] == here else "earlier", "tone": "plain"}


def _said(row: Row) -> str:
    instead = f" → {row['proposed_label']}" if row["proposed_label"] else ""
    return f"{row['label'] or row['label_id']}{instead}" + (f": {row['note']}" if row["note"] else "")
