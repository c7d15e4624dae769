"""What is wrong with what is published, or not current, in the order in which it matters."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl
import streamlit as st

from catalog_ui.components.records import Column, records
from catalog_ui.wording import counted, figure

Row = dict[str, Any]


def problems(found: Mapping[str, Any], version: str, newer: Sequence[str]) -> list[Row]:
    """Rows of kind, what, detail, todo; those that readers should not live with first.

    :param found: frames by the name of their query in `catalog_ui.health_queries`
    :param newer: versions that were built after the published one
    """
    return [
        *_checks(found["failed_checks"], "ERROR"),
        *_unpublished(version, newer),
        *_rejected(found["dictionaries"]),
        *_runs(found["runs"]),
        *_checks(found["failed_checks"], "WARN"),
        *_corpora(found["corpora"]),
        *_labels(found["to_review"]),
    ]


def show_problems(rows: Sequence[Row]) -> None:
    """The problems as a table, or that there is none."""
    columns = [
        Column("kind", "", "chip"),
        Column("what", "Problem"),
        Column("detail", "Detail", "quiet"),
        Column("todo", "What to run", "mono"),
    ]
    st.subheader("Problems")
    records(rows, columns, key="problems", empty="None: every check passes, and nothing was turned down.")


def _checks(frame: pl.DataFrame, severity: str) -> Iterator[Row]:
    for row in frame.filter((pl.col("severity") == "ERROR") == (severity == "ERROR")).to_dicts():
        where = f"{row['asset']}[{row['partition']}]" if row["partition"] else row["asset"]
        detail = f"{figure(row['value'])} against {figure(row['threshold'])}"
        yield _row("bad", "check failed", f"{row['name']} of {where}", detail, "atlas status")


def _unpublished(version: str, newer: Sequence[str]) -> Iterator[Row]:
    if newer:
        detail = f"readers still get {version}"
        yield _row("bad", "not published", f"Catalog {newer[-1]} was built and not published", detail, "atlas doctor")


def _rejected(frame: pl.DataFrame) -> Iterator[Row]:
    for row in frame.filter(pl.col("rejected_because").is_not_null()).to_dicts():
        what = f"{row['pair']}: candidate {row['dictionary_id']} did not become current"
        yield _row("bad", "turned down", what, row["rejected_because"], f"atlas audit {row['dictionary_id']}")


def _runs(frame: pl.DataFrame) -> Iterator[Row]:
    for row in frame.filter(pl.col("status") != "SUCCESS").to_dicts():
        yield _row("bad", "run", f"Run {row['run_id']} ended as {row['status']}", row["trigger"], "atlas run")


def _corpora(frame: pl.DataFrame) -> Iterator[Row]:
    for row in frame.to_dicts():
        if row["pinned"]:
            what = f"{counted(row['pinned'], 'shard')} of {row['corpus']} changed or left the corpus"
            yield _row("plain", "not current", what, "a current dictionary was made from it as it was", "atlas status")
        if row["unread"]:
            what = f"{counted(row['unread'], 'new shard')} of {row['corpus']}"
            yield _row("plain", "not current", what, "read by no current dictionary", "atlas status")


def _labels(by_dictionary: Mapping[str, int]) -> Iterator[Row]:
    if n := sum(by_dictionary.values()):
        what = f"{counted(n, 'label')} in force scored under the least that is wanted"
        yield _row("plain", "to review", what, "the worst are listed below", "atlas review LABEL …")


def _row(tone: str, kind: str, what: str, detail: str, todo: str) -> Row:
    return {"kind": {"text": kind, "tone": tone}, "what": what, "detail": detail, "todo": todo}
