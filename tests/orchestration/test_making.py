"""One run makes many partitions, and each of them stands for itself."""

import json

import dagster as dg
import pytest
import yaml

import sae.corpora.sources
from orchestration.partitions import Cell
from orchestration.runner import dagster_home, open_session, refresh
from sae.config import load_workspace

CONFIG = {
    "store": "store",
    "state": "state",
    "models": {"w": {"source": "world", "steps": 1}},
    "corpora": {"mine": {"source": "files", "paths": ["*.txt"], "shards": 2}},
    "sites": [{"model": "w", "hookpoint": "layers.0", "corpora": ["mine"]}],
    "dictionaries": {"one": {"architecture": "topk", "latents": 4, "k": 1}},
}
CORPUS = dg.AssetKey("corpus")


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    for name in "abcd":
        (tmp_path / f"{name}.txt").write_text(f"text {name}")
    (tmp_path / "atlas.yaml").write_text(yaml.safe_dump(CONFIG))
    monkeypatch.delenv("ATLAS_STORE", raising=False)
    return load_workspace(tmp_path / "atlas.yaml")


def read_corpora(workspace):
    return refresh(open_session(workspace), trigger="test", select=lambda cell: cell.asset == "corpus")


def records(workspace):
    with dg.DagsterInstance.from_config(str(dagster_home(workspace))) as instance:
        return instance.fetch_materializations(CORPUS, limit=100).records


def test_all_partitions_come_from_one_run_with_a_version_each(workspace):
    made = read_corpora(workspace).made

    found = records(workspace)
    assert len(made) == len(found) == 4
    assert len({record.run_id for record in found}) == 1
    assert {record.partition_key for record in found} == {cell.partition for cell in made}
    events = [record.asset_materialization for record in found]
    assert len({event.tags["dagster/data_version"] for event in events if event and event.tags}) == 4


def test_one_that_fails_names_what_is_wrong_and_stops_no_other(workspace):
    (workspace.path.parent / "b.txt").write_bytes(b"caf\xe9")

    outcome = read_corpora(workspace)

    ((cell, words),) = outcome.failed.items()
    assert cell.asset == "corpus"
    assert words.endswith("b.txt: not UTF-8 (byte 3). Save the file as UTF-8.")
    assert len(outcome.made) == 3
    with dg.DagsterInstance.from_config(str(dagster_home(workspace))) as instance:
        assert len(instance.get_materialized_partitions(CORPUS)) == 3
        (run,) = instance.get_runs()
        assert run.status == dg.DagsterRunStatus.FAILURE


def test_a_fault_of_the_program_says_where_its_traceback_is(workspace, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("no luck")

    monkeypatch.setattr(sae.corpora.sources, "read_shard", broken)

    outcome = read_corpora(workspace)

    assert len(outcome.failed) == 4
    run_id = outcome.failed[next(iter(outcome.failed))].rsplit(" ", 1)[1].rstrip(")")
    assert len(run_id) == 8
    assert outcome.failed[next(iter(outcome.failed))].startswith("ZeroDivisionError: no luck (a fault of the program")


def test_a_run_that_is_stopped_tells_of_the_partition_that_it_was_at_and_ends_its_refresh(workspace, monkeypatch):
    config = CONFIG | {"openlineage": {"file": "events.jsonl"}}
    workspace.path.write_text(yaml.safe_dump(config))
    read, names = sae.corpora.sources.read_shard, []

    def stopped_at_the_second(name, section, seed, shard, base):
        names.append(shard)
        if len(names) == 2:
            raise KeyboardInterrupt
        return read(name, section, seed, shard, base)

    monkeypatch.setattr(sae.corpora.sources, "read_shard", stopped_at_the_second)

    with pytest.raises(KeyboardInterrupt):
        read_corpora(load_workspace(workspace.path))

    assert [record.partition_key for record in records(workspace)] == names[:1]
    lines = [json.loads(line) for line in (workspace.path.parent / "events.jsonl").read_text().splitlines()]
    assert [(line["eventType"], line["outputs"][0]["name"]) for line in lines] == [
        ("START", f"corpus[{names[0]}]"),
        ("COMPLETE", f"corpus[{names[0]}]"),
        ("START", f"corpus[{names[1]}]"),
        ("FAIL", f"corpus[{names[1]}]"),
    ]
    assert lines[-1]["run"]["facets"]["errorMessage"]["message"] == "it was stopped"


def test_what_was_made_before_a_fault_is_not_made_again(workspace):
    bad = workspace.path.parent / "b.txt"
    bad.write_bytes(b"caf\xe9")
    read_corpora(workspace)
    bad.write_text("mended")

    again = read_corpora(workspace)

    assert again.failed == {}
    (cell,) = again.made
    assert isinstance(cell, Cell)
    assert len(records(workspace)) == 4
