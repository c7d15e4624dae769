"""Feature splitting as a tree: a feature of the smallest dictionary, and what it becomes in the larger ones."""

from typing import Any

import polars as pl
import streamlit as st

from catalog_ui.access import Reader
from catalog_ui.components.records import Column, feature_link, records
from catalog_ui.family_queries import family

SHOWN = 200


def show_family(reader: Reader, row: dict[str, Any]) -> None:
    """The family that a feature belongs to, from its oldest ancestor down."""
    st.subheader("Splitting")
    tree = family(reader.catalog, row["feature_id"])
    columns = [
        Column("feature", "Family", "feature"),
        Column("latents", "Latents", "number", digits=0, help="Size of its dictionary"),
        Column("cosine", "Cosine with the one above", "bar", scale=1.0),
    ]
    empty = "No feature of a smaller or larger dictionary of this site lies in its direction."
    rows = family_rows(tree, row["feature_id"]) if tree.height > 1 else []
    records(rows[:SHOWN], columns, key="family", empty=empty)
    if len(rows) > SHOWN:
        st.caption(f"The first {SHOWN} of {len(rows):,} features of the family.")


def family_rows(tree: pl.DataFrame, here: str) -> list[dict[str, Any]]:
    """Rows for `records`: of what `family` gives, each feature further in than the one it comes from."""
    return [
        {
            "feature": feature_link(r["feature_id"], r["label"], _note(r, here)) | {"depth": r["depth"]},
            "latents": r["d_sae"],
            "cosine": r["cosine"],
        }
        for r in tree.to_dicts()
    ]


def _note(row: dict[str, Any], here: str) -> str:
    return f"{row['recipe']}, this feature" if row["feature_id"] == here else row["recipe"]
