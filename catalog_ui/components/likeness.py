"""Which features of two dictionaries of one site are alike by direction: nearest pairs, loners and splits."""

from typing import Any

import altair as alt
import polars as pl
import streamlit as st

from catalog_ui.access import Reader
from catalog_ui.components.records import Column, feature_link, records
from catalog_ui.likeness_queries import BIN, Likeness, Splits, likeness, splits

Row = dict[str, Any]

_COSINE = Column("cosine", "Decoder cosine", "bar", scale=1.0)
_OLD_FIRST = (Column("one", "Old", "feature"), Column("other", "New", "feature"), _COSINE)
_NEW_FIRST = (Column("one", "New", "feature"), Column("other", "Old", "feature"), _COSINE)


def show_likeness(reader: Reader, old: Row, new: Row) -> None:
    """How near the features of each lie to the other's, and which pairs, loners and families there are."""
    st.subheader("Alike by direction")
    if old["dictionary_id"] == new["dictionary_id"]:
        st.caption("Both are the same dictionary.")
        return
    if old["site"] != new["site"]:
        st.caption("They read different sites: directions in two spaces are not to be compared.")
        return
    if not (old["has_features"] and new["has_features"]):
        st.caption("Neighbours are stored between the current dictionaries of a site.")
        return
    small, large = sorted((old, new), key=lambda row: row["d_sae"])
    ids = [row["dictionary_id"] for row in (old, new, small, large)]
    found, families = _read(reader, reader.store, reader.version, *ids)
    st.altair_chart(_histogram(found.histogram))
    st.caption("Each feature's cosine with the nearest one of the other dictionary.")
    both, only_old, only_new, split = st.tabs(["Each other's nearest", "Only in old", "Only in new", "Splitting"])
    with both:
        st.caption(f"{found.n_mutual:,} pairs are each other's nearest; the most alike stand first.")
        records(_pairs(found.mutual), _OLD_FIRST, key="mutual", empty="No two are each other's nearest.")
    for tab, frame, columns in ((only_old, found.only_old, _OLD_FIRST), (only_new, found.only_new, _NEW_FIRST)):
        with tab:
            st.caption("The nearest one of the other dictionary is far; the furthest stand first.")
            records(_pairs(frame), columns, key=columns[0].title, empty="No neighbour is stored.")
    with split:
        _show_splits(families)


@st.cache_data(max_entries=8, show_spinner="Comparing directions")
def _read(
    _reader: Reader, store: str, version: str, old: str, new: str, small: str, large: str
) -> tuple[Likeness, Splits]:
    """What the section shows; cached by store and version, for it reads the neighbours of every feature."""
    return likeness(_reader.catalog, old, new), splits(_reader.catalog, small, large)


def _histogram(bins: pl.DataFrame) -> alt.Chart:
    shares = bins.with_columns(pl.col("cosine") + BIN / 2, (pl.col("n") / pl.col("n").sum().over("of")).alias("share"))
    return (
        alt.Chart(shares.to_arrow())
        .mark_line(interpolate="monotone", point=alt.OverlayMarkDef(size=30))
        .encode(
            x=alt.X("cosine:Q", title="cosine with the nearest one of the other", scale=alt.Scale(domain=[0, 1])),
            y=alt.Y("share:Q", title="share of features", axis=alt.Axis(format="%")),
            color=alt.Color("of:N", title="features of the", sort=["old", "new"]),
        )
        .properties(height=220)
    )


def _pairs(frame: pl.DataFrame) -> list[Row]:
    return [
        {
            "one": feature_link(row["feature_id"], row["label"]),
            "other": feature_link(row["other_id"], row["other_label"]),
            "cosine": row["cosine"],
        }
        for row in frame.to_dicts()
    ]


def _show_splits(found: Splits) -> None:
    st.caption(
        f"{found.parents:,} features of the smaller one are parents of {found.children:,} of the larger one; "
        "those with the most children stand first."
    )
    rows = [
        {
            "parent": feature_link(row["feature_id"], row["label"]),
            "n": row["n"],
            "becomes": " / ".join(row["becomes"]) + (" / …" if row["n"] > len(row["becomes"]) else ""),
        }
        for row in found.most.to_dicts()
    ]
    columns = [
        Column("parent", "Of the smaller one", "feature"),
        Column("n", "Children", "number", digits=0),
        Column("becomes", "Becomes, the nearest first", "quiet"),
    ]
    records(rows, columns, key="splits", empty="No feature of the larger one lies in the direction of a smaller one's.")
