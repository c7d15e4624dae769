"""Dagster's records of runs: how many bytes they take, and how they go for good."""

import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import dagster as dg


def bytes_of_run(home: Path, run_id: str) -> int:
    """Bytes of the files that only this run has, in an instance that keeps its events in SQLite."""
    return sum(path.stat().st_size for path in _files_of_run(home, run_id) if path.is_file())


def delete_runs(instance: dg.DagsterInstance, home: Path, run_ids: Iterable[str]) -> None:
    """Delete runs with their events and captured output."""
    for run_id in run_ids:
        instance.delete_run(run_id)
        for path in _files_of_run(home, run_id):
            path.unlink(missing_ok=True)
        shutil.rmtree(home / "storage" / run_id, ignore_errors=True)


def scrub(home: Path) -> None:
    """Rewrite the instance's SQLite files, so that nothing of what was deleted is left in their free pages."""
    for path in sorted(home.rglob("*.db")):
        with closing(sqlite3.connect(path, timeout=30.0, isolation_level=None)) as connection:
            connection.execute("vacuum")
            connection.execute("pragma wal_checkpoint(truncate)")


def _files_of_run(home: Path, run_id: str) -> Iterator[Path]:
    yield from (home / "history" / "runs").glob(f"{run_id}.db*")
    yield from (path for path in (home / "storage" / run_id).rglob("*") if path.is_file())
