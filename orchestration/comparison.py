"""Two versions of a dictionary beside each other: what they were made from, how good they are, what became of what."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from orchestration.dictionary_versions import Version
from orchestration.partitions import Cell
from orchestration.refs import read_ref
from sae.dictionaries.differences import QUALITY, made_from, measures, shards, why_not_comparable
from sae.table_files import read_table


def compare(old: Version, new: Version, ledger: Path, most: int) -> dict[str, Any]:
    """All that differs, as JSON-like values.

    :param ledger: the ledger's file; without it nothing is said of labels
    :param most: largest number of features listed of a kind
    """
    why_not = why_not_comparable(old.facts, new.facts)
    matches = None if why_not else _matches(old, new)
    labels = _labels(old, new, ledger, matches)
    return {
        "old": _who(old),
        "new": _who(new),
        "metrics": measures(_figures(old), _figures(new)),
        "differs": made_from(old.facts, new.facts),
        "shards": shards(old.facts, new.facts),
        "matched": why_not or "by decoder cosine and activation correlation",
        "statuses": {} if matches is None else dict(matches.group_by("status").len().sort("status").iter_rows()),
        "changed": [] if matches is None else _changed(old, new, matches, labels, most),
        "labels": labels["counts"],
        "retired": [] if matches is None else _retired(old, matches, labels["old"], most),
    }


def _who(version: Version) -> dict[str, Any]:
    facts = {name: version.facts[name] for name in ("site", "recipe", "created_at", "run_id", "code_version")}
    return {"dictionary_id": version.dictionary_id, **facts}


def _figures(version: Version) -> dict[str, float | None]:
    """The figures of a version by metric, those that it became current by first."""
    figures = {name: version.facts["quality"].get(name) for name in QUALITY}
    if (evaluation := version.table("evaluation")) is not None:
        figures |= {row["metric"]: row["value"] for row in evaluation.to_dicts() if row["metric"] not in figures}
    return figures


def _matches(old: Version, new: Version) -> pl.DataFrame:
    """The matches that the platform recorded, where the new one is current; otherwise made now."""
    ref = read_ref(new.store, Cell("feature_matches", new.facts["site"]))
    if ref and old.dictionary_id in new.before:
        found = read_table(new.store.verify(ref.files["feature_matches"])).filter(
            dictionary_id=new.dictionary_id, previous_dictionary_id=old.dictionary_id
        )
        if found.height:
            return found
    from sae.features.matches import match_features

    held_out = new.basis.shards("held_out")
    return match_features(new.dictionary, new.dictionary_id, old.dictionary, old.dictionary_id, held_out)


def _changed(
    old: Version, new: Version, matches: pl.DataFrame, labels: Mapping[str, Any], most: int
) -> list[dict[str, Any]]:
    """The matched features whose activations agree least."""
    rows = matches.drop_nulls(["feature_id", "previous_feature_id"]).sort(
        "activation_correlation", "cosine", "index", nulls_last=False
    )
    density = [_column(version, "density") for version in (old, new)]
    return [
        {
            "feature_id": row["feature_id"],
            "previous_feature_id": row["previous_feature_id"],
            "status": row["status"],
            "cosine": row["cosine"],
            "activation_correlation": row["activation_correlation"],
            "density_old": density[0].get(row["previous_feature_id"]),
            "density_new": density[1].get(row["feature_id"]),
            "label_old": labels["old"].get(row["previous_feature_id"], (None, None))[0],
            "label_new": labels["new"].get(row["feature_id"], (None, None))[0],
        }
        for row in rows.head(most).to_dicts()
    ]


def _retired(
    old: Version, matches: pl.DataFrame, labels: Mapping[str, tuple[str, str]], most: int
) -> list[dict[str, Any]]:
    """Old features that nothing matches: those first that a person named, then the most active."""
    density = _column(old, "density")
    gone = matches.filter(status="retired")["previous_feature_id"].to_list()
    rows = [
        {
            "previous_feature_id": name,
            "density": density.get(name),
            "label": labels.get(name, (None, None))[0],
            "labeler": labels.get(name, (None, None))[1],
        }
        for name in gone
        if density.get(name, 1.0)
    ]
    return sorted(rows, key=lambda row: (row["labeler"] != "human", -(row["density"] or 0)))[:most]


def _labels(old: Version, new: Version, ledger: Path, matches: pl.DataFrame | None) -> dict[str, Any]:
    """The labels in force of both by feature, as (label, labeler), and how many were carried, rejected and retired."""
    from sae.labels.current import current_labels, last_verdicts
    from sae.labels.ledger import Ledger

    if not ledger.is_file():
        return {"old": {}, "new": {}, "counts": {}}
    in_force: list[dict[str, tuple[str, str]]] = []
    with Ledger(ledger) as opened:
        for version in (old, new):
            ids = [version.dictionary_id]
            known = (opened.labels(ids), opened.label_reviews(ids), opened.label_renewals(ids))
            rows = current_labels(*known).select("feature_id", "label", "labeler").iter_rows()
            in_force.append({feature: (label, labeler) for feature, label, labeler in rows})
        of_old = set(opened.labels([old.dictionary_id])["label_id"])
        carried = opened.labels([new.dictionary_id]).filter(origin="carried")
        carried = carried.filter(pl.col("parent_label_id").is_in(list(of_old)))
        rejected = last_verdicts(opened.label_reviews([new.dictionary_id])).filter(verdict="reject")["label_id"]
    counts = {
        "in force in the old one": len(in_force[0]),
        "in force in the new one": len(in_force[1]),
        "carried": carried.height,
        "carried and then rejected": carried.filter(pl.col("label_id").is_in(rejected.implode())).height,
    }
    if matches is not None:
        gone = set(matches.filter(status="retired")["previous_feature_id"])
        counts["retired with their feature"] = len(gone & in_force[0].keys())
    return {"old": in_force[0], "new": in_force[1], "counts": counts}


def _column(version: Version, name: str) -> dict[str, Any]:
    """A column of the version's features, by feature_id."""
    features = version.table("features")
    return {} if features is None else dict(features.select("feature_id", name).iter_rows())
