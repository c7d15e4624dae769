"""Dagster's own daemon on a platform: it finds new files by itself, and a kill costs nothing but time."""

from pathlib import Path

import dagster as dg
import pytest
from daemons import daemon, kill, wait_for
from freshness_cases import NEW_TEXT, TEXTS, add_files
from tiny_pipeline import QUESTION, instance, write_config

from orchestration.reaping import REFRESH_TAG
from orchestration.runner import open_session
from sae.catalog import open_catalog
from sae.catalog.checks import check_candidate
from sae.config import load_workspace
from sae.storage import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def watched(config):
    add_files(config)
    config["dictionaries"].pop("large")
    config["steering"]["max_features"] = 0
    config["schedule"] = {"watch_seconds": 5}


def texts(store: Store) -> set[str]:
    """The texts of the published catalog's files."""
    if not store.exists("catalog/CURRENT"):
        return set()
    with open_catalog(store) as catalog:
        return set(catalog.sql("select text from documents where corpus = 'mine'")["text"])


def writing(config: Path) -> bool:
    """Whether a refresh has begun to make something, and is not done."""
    with instance(load_workspace(config)) as dagster:
        started = [dg.DagsterRunStatus.STARTED]
        refreshing = dagster.get_runs(dg.RunsFilter(tags={REFRESH_TAG: "refresh"}, statuses=started))
        parts = [run for run in dagster.get_runs(dg.RunsFilter(statuses=started)) if REFRESH_TAG not in run.tags]
        return bool(refreshing and parts)


def test_a_new_file_is_published_and_a_killed_daemon_leaves_one_complete_catalog(tmp_path):
    log = tmp_path / "daemon.log"
    for name, text in TEXTS.items():
        (tmp_path / name).write_text(text)
    config = write_config(tmp_path, watched)
    store = Store(load_workspace(config).store)

    with daemon(config, log) as first:
        wait_for("the first catalog", lambda: texts(store) == set(TEXTS.values()), log)
        (tmp_path / "d.txt").write_text(NEW_TEXT)
        wait_for("a catalog with the new file", lambda: NEW_TEXT in texts(store), log)
        (tmp_path / "e.txt").write_text(QUESTION)
        wait_for("a refresh that writes", lambda: writing(config), log)
        kill(first)
    before = store.read_bytes("catalog/CURRENT")
    assert QUESTION not in texts(store), "readers keep the last whole catalog"
    with daemon(config, log):
        wait_for("a catalog after the kill", lambda: QUESTION in texts(store), log)

    assert store.read_bytes("catalog/CURRENT") != before
    with open_catalog(store) as catalog:
        assert check_candidate(store, catalog.version) == []
    assert store.remove_temporaries() == []
    session = open_session(load_workspace(config))
    assert {standing.state for standing in session.plan().standings} == {"fresh"}
