"""Dagster's instance in PostgreSQL: the state folder's `dagster.yaml` names it, and everything else is as before."""

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml

from orchestration.runner import dagster_home, open_session, refresh
from sae.config import load_workspace

_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not _PROGRAMS, reason="Debian's package postgresql is not installed"),
    pytest.mark.skipif(
        importlib.util.find_spec("dagster_postgres") is None, reason="dagster-postgres is not installed"
    ),
]


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """A server that listens on a socket in a folder of its own, as long as the tests run; its URL."""
    folder = Path(tempfile.mkdtemp(prefix="feature-atlas-postgres-"))
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []  # The server refuses to run as root.
    if as_user:
        shutil.chown(folder, "postgres")

    def call(program: str, *arguments: str) -> None:
        subprocess.run([*as_user, str(_PROGRAMS[-1] / program), *arguments], check=True, cwd=folder, timeout=120)

    data, log = str(folder / "data"), str(folder / "log")
    call("initdb", "-D", data, "-U", "atlas", "-A", "trust", "--no-sync")
    call("pg_ctl", "-D", data, "-l", log, "-w", "-o", f"-k {folder} -c listen_addresses= -c fsync=off", "start")
    try:
        call("createdb", "-h", str(folder), "-U", "atlas", "dagster")
        yield f"postgresql+psycopg2://atlas@/dagster?host={folder}"
    finally:
        call("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
        shutil.rmtree(folder)


def test_a_refresh_is_recorded_there_and_a_second_one_makes_nothing(database, tmp_path, monkeypatch):
    monkeypatch.delenv("ATLAS_STORE", raising=False)
    for name in "abc":
        (tmp_path / f"{name}.txt").write_text(f"text {name}")
    (tmp_path / "atlas.yaml").write_text(
        """
store: store
state: state
models: {w: {source: world, steps: 1}}
corpora: {mine: {source: files, paths: ["*.txt"], shards: 2}}
sites: [{model: w, hookpoint: layers.0, corpora: [mine]}]
dictionaries: {one: {architecture: topk, latents: 4, k: 1}}
"""
    )
    workspace = load_workspace(tmp_path / "atlas.yaml")
    settings = dagster_home(workspace) / "dagster.yaml"
    found = yaml.safe_load(settings.read_text())
    settings.write_text(yaml.safe_dump(found | {"storage": {"postgres": {"postgres_url": database}}}))

    def read() -> int:
        return len(refresh(open_session(workspace), trigger="test", select=lambda cell: cell.asset == "corpus").made)

    first, again = read(), read()
    (tmp_path / "b.txt").write_text("another text")
    changed = read()

    assert (first, again, changed) == (3, 0, 1)
    with dg.DagsterInstance.from_config(str(settings.parent)) as instance:
        assert "postgres" in type(instance.event_log_storage).__name__.lower()
        assert len(instance.get_materialized_partitions(dg.AssetKey("corpus"))) == 3
    assert not list(settings.parent.rglob("*.db")), "nothing is written to SQLite beside it"
