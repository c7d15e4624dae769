"""The sections of the Health page, of what `catalog_ui.health_queries` found."""

from collections.abc import Mapping
from typing import Any

import polars as pl
import streamlit as st

from catalog_ui.components.dictionaries import state_of
from catalog_ui.components.records import Column, feature_link, records
from catalog_ui.health_queries import ROWS_SHOWN
from catalog_ui.wording import figure, lasted, when

Found = Mapping[str, Any]
Row = dict[str, Any]

ASSETS_NAMED = 4


def show_dictionaries(found: Found) -> None:
    """Every dictionary: whether it is current, how good it is, its checks and labels."""
    st.subheader("Dictionaries")
    coverage = {row["dictionary_id"]: row for row in found["coverage"].to_dicts()}
    rows = []
    for row in found["dictionaries"].to_dicts():
        labels = coverage.get(row["dictionary_id"])
        rows.append(
            {
                **row,
                "dictionary": feature_link(row["dictionary_id"], row["recipe"], f"{row['site']} · {row['d_sae']:,}"),
                "state": _chip(state_of(row)),
                "verdict": _verdict(row["checks"], row["failed"]),
                "labelled": labels and labels["live"] and labels["labelled"] / labels["live"],
                "to_review": found["to_review"].get(row["dictionary_id"], 0) if labels else None,
                "trained": when(row["created_at"]),
            }
        )
    columns = [
        Column("dictionary", "Dictionary", "feature", page="audit"),
        Column("state", "State", "chip"),
        Column("verdict", "Checks", "chip"),
        Column("fvu", "FVU", "number", digits=3, help="Fraction of variance unexplained"),
        Column("l0", "L0", "number", digits=1, help="Active features a token"),
        Column("dead_fraction", "Dead", "number", help="Share of features that were never active"),
        Column("loss_recovered", "Loss recovered", "number", digits=3),
        Column("labelled", "Live features labelled", "bar", scale=1.0),
        Column("to_review", "To review", "number", digits=0),
        Column("trained", "Trained", "short"),
    ]
    records(rows, columns, key="dictionaries", empty="No dictionary has been trained yet.")


def show_checks(found: Found) -> None:
    """All checks, summed over the partitions."""
    st.subheader("Checks")
    rows = [
        {
            **row,
            "verdict": _verdict(row["n"], row["failed"]),
            "range": " to ".join(dict.fromkeys(str(figure(row[end])) for end in ("low", "high"))),
            "checked": when(row["checked_at"]),
        }
        for row in found["checks"].to_dicts()
    ]
    columns = [
        Column("name", "Check", "short"),
        Column("asset", "Of", "quiet"),
        Column("verdict", "Passed", "chip"),
        Column("range", "Measured", "short"),
        Column("threshold", "Wanted", "number"),
        Column("checked", "Last", "short"),
    ]
    records(rows, columns, key="checks", empty="No check has been made.")


def show_scores(found: Found) -> None:
    """The scores of labels by scorer: median and quartiles, and how many lie under the threshold."""
    st.subheader("Labels")
    least = found["least_score"]
    rows = [
        {
            **row,
            "dictionary": f"{row['recipe']} · {row['site']}",
            "score": {"value": row["median"], "low": row["low"], "high": row["high"], "control": least},
        }
        for row in found["scores"].to_dicts()
    ]
    columns = [
        Column("scorer", "Scorer", "short"),
        Column("dictionary", "Dictionary", "short"),
        Column("score", "Median and quartiles", "interval", scale=1.0, help="The mark is the least that is wanted"),
        Column("n", "Labels", "number", digits=0),
        Column("under", "Under the mark", "number", digits=0),
    ]
    records(rows, columns, key="scores", empty="No label has been scored.")
    attempts = found["label_attempts"].to_dicts()
    for row in attempts:
        row["ended"] = {"text": row["status"], "tone": "good" if row["status"] == "ok" else "bad"}
        row["by"] = " · ".join(part for part in (row["labeler"], row["model"]) if part)
    columns = [
        Column("by", "Written by"),
        Column("ended", "Ended", "chip"),
        Column("n", "Labels", "number", digits=0),
        Column("cost_usd", "USD", "number", digits=2),
    ]
    records(attempts, columns, key="attempts", empty="No label has been written.")


def show_labels_to_review(found: Found) -> None:
    """The labels that score worst, for a person to look at."""
    st.subheader("To review")
    rows = [
        {**row, "label": feature_link(row["label_id"], row["label"], f"{row['feature_id']} · {row['label_id']}")}
        for row in found["labels_to_review"].to_dicts()
    ]
    columns = [
        Column("label", "Label", "feature", page="audit"),
        Column("scorer", "Scorer", "short"),
        Column("score", "Score", "bar", scale=1.0),
        Column("n", "Judged", "number", digits=0),
    ]
    records(rows, columns, key="to-review", empty="No label in force scores under the least that is wanted.")
    if (n := sum(found["to_review"].values())) > ROWS_SHOWN:
        st.caption(f"The worst {ROWS_SHOWN}, of {n:,} labels.")


def show_runs(found: Found) -> None:
    """The runs that made what is published."""
    st.subheader("Runs")
    rows = [
        {
            **row,
            "ended": {"text": row["status"].lower(), "tone": "good" if row["status"] == "SUCCESS" else "bad"},
            "started": when(row["started_at"]),
            "took": lasted(row["seconds"]) or "–",
            "made": _assets(row["assets"] or []),
        }
        for row in found["runs"].to_dicts()
    ]
    columns = [
        Column("ended", "Ended", "chip"),
        Column("started", "Started", "short"),
        Column("took", "Took", "short"),
        Column("trigger", "By", "short"),
        Column("cost_usd", "USD", "number"),
        Column("made", "Made", "quiet"),
    ]
    records(rows, columns, key="runs", empty="No run is recorded.")
    total = found["all_runs"]
    if total["n"] > len(rows):
        st.caption(f"{len(rows)} of {total['n']:,}: those that failed, then the latest.")


def show_times(found: Found) -> None:
    """What making each asset took, of what is published."""
    st.subheader("What took the time")
    rows = [
        {**row, "seconds": row["seconds"] and round(row["seconds"], 1), "longest": lasted(row["longest"]) or "–"}
        for row in found["times"].to_dicts()
    ]
    columns = [
        Column("asset", "Asset", "short"),
        Column("seconds", "Seconds", "bar", digits=1),
        Column("cells", "Cells", "number", digits=0, help="Partitions that hold what it made"),
        Column("longest", "Longest", "short"),
        Column("peak_gb", "GB", "number", digits=1, help="The most memory that its process held"),
        Column("cost_usd", "USD", "number"),
    ]
    records(rows, columns, key="times", empty="No lineage is recorded.")


def show_corpora(found: Found) -> None:
    """The corpora as they are now, and the shards that left them."""
    st.subheader("Corpora")
    columns = [
        Column("corpus", "Corpus"),
        Column("shards", "Shards", "number", digits=0),
        Column("documents", "Documents", "number", digits=0),
        Column("tokens", "Tokens", "number", digits=0),
        Column("unread", "Unread", "number", digits=0, help="Shards that no current dictionary was made from"),
        Column("retired", "Retired", "number", digits=0, help="Shards that left the corpus or were replaced"),
    ]
    records(found["corpora"].to_dicts(), columns, key="corpora", empty="No corpus has been read.")
    retired = found["retired_shards"]
    if retired.height:
        st.caption("Retired shards, the latest first.")
        _show_retired(retired)


def show_evaluation(frame: pl.DataFrame) -> None:
    """The measured claims about one dictionary, each with its interval and its control."""
    rows = [
        {
            **row,
            "claim": {"value": row["value"], "low": row["ci_low"], "high": row["ci_high"], "control": row["control"]},
            "ci": "–" if row["ci_low"] is None else f"{figure(row['ci_low'])} to {figure(row['ci_high'])}",
            "of": " ".join(part for part in (f"{row['n']:,}" if row["n"] else None, row["unit"]) if part),
        }
        for row in frame.to_dicts()
    ]
    columns = [
        Column("metric", "Claim", "short"),
        Column("claim", "Value", "interval", digits=3, scale=1.0, help="Band: 95% interval. Mark: the control"),
        Column("ci", "95% interval", "short"),
        Column("control", "Control", "number", digits=3),
        Column("of", "Of", "quiet"),
        Column("control_is", "The control is", "quiet"),
    ]
    records(rows, columns, key="evaluation", empty="Nothing has been measured of it yet.")


def _show_retired(frame: pl.DataFrame) -> None:
    rows = [{**row, "retired": when(row["retired_at"])} for row in frame.to_dicts()]
    columns = [
        Column("shard", "Shard", "mono"),
        Column("n_documents", "Documents", "number", digits=0),
        Column("retired", "Retired", "short"),
        Column("pinned_by", "Current dictionaries made from it", "number", digits=0),
    ]
    records(rows, columns, key="retired")


def _verdict(n: int, failed: int) -> dict[str, str] | None:
    if not n:
        return None
    return {"text": f"{failed:,} of {n:,} failed" if failed else f"{n:,} of {n:,}", "tone": "bad" if failed else "good"}


def _chip(chip: Any) -> dict[str, str]:
    return {"text": chip.text, "tone": chip.tone}


def _assets(names: list[str]) -> str:
    more = len(names) - ASSETS_NAMED
    return ", ".join(names[:ASSETS_NAMED]) + (f" and {more} more" if more > 0 else "")
