"""How the artifacts were made, as tables: checks, lineage and its edges, runs."""

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from orchestration.refs import Ref, content_of

TRIGGER_TAG = "atlas/trigger"
"""Tag of a run that says what started it."""


def check_rows(refs: Iterable[Ref]) -> list[dict[str, Any]]:
    """Rows of `checks`: the outcome that each artifact carries."""
    return [
        {
            "asset": ref.asset,
            "partition": ref.partition,
            "name": check["name"],
            "passed": check["passed"],
            "severity": "WARN",
            "value": check["value"],
            "threshold": check["threshold"],
            "run_id": ref.run_id,
            "checked_at": ref.finished_at,
        }
        for ref in refs
        for check in ref.facts.get("checks", [])
    ]


def lineage_rows(refs: Iterable[Ref]) -> list[dict[str, Any]]:
    """Rows of `lineage`: what each cell holds and which run made it."""
    return [
        {
            "asset": ref.asset,
            "partition": ref.partition,
            "data_version": ref.data_version,
            "build_key": ref.build_key,
            "code_version": ref.code_version,
            "run_id": ref.run_id,
            "started_at": ref.started_at,
            "finished_at": ref.finished_at,
            "peak_memory_bytes": ref.peak_memory_bytes,
            "cost_usd": ref.cost_usd,
        }
        for ref in refs
    ]


def edge_rows(refs: Iterable[Ref]) -> list[dict[str, Any]]:
    """Rows of `lineage_edges`: which version of which cell each was made from, observed sources included."""
    return [
        {
            "asset": ref.asset,
            "partition": ref.partition,
            "data_version": ref.data_version,
            "upstream_asset": name.split("[")[0],
            "upstream_partition": name.split("[", 1)[1].removesuffix("]") if "[" in name else None,
            "upstream_data_version": content_of(version),
        }
        for ref in refs
        for name, version in ref.inputs.items()
    ]


def run_rows(
    instance: dg.DagsterInstance, run_ids: Iterable[str], cost_usd: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Rows of `runs`: the runs that made the artifacts, by the event log, and what they paid, by the ledger."""
    records = instance.get_run_records(dg.RunsFilter(run_ids=sorted(run_ids))) if run_ids else []
    return [
        {
            "run_id": record.dagster_run.run_id,
            "trigger": record.dagster_run.tags.get(TRIGGER_TAG, "dagster"),
            "status": record.dagster_run.status.value,
            "started_at": _moment(record.start_time or record.create_timestamp.timestamp()),
            "finished_at": _moment(record.end_time) if record.end_time else None,
            "cost_usd": cost_usd.get(record.dagster_run.run_id, 0.0),
        }
        for record in records
    ]


def _moment(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="milliseconds")
