"""A source that cannot be read costs its own shard; one that goes while it is looked at costs nothing else."""

import pytest
import yaml

from orchestration import sources
from orchestration.partitions import Cell
from orchestration.refs import read_ref
from orchestration.runner import open_session, refresh
from sae.config import load_workspace
from sae.storage import Store

CONFIG = {
    "store": "store",
    "state": "state",
    "models": {"w": {"source": "world", "steps": 1}},
    "corpora": {"mine": {"source": "files", "paths": ["*.txt"], "shards": 2}},
    "sites": [{"model": "w", "hookpoint": "layers.1", "corpora": ["mine"]}],
    "dictionaries": {"one": {"architecture": "topk", "latents": 4, "k": 1}},
}
UP_TO_THE_SITE = {"subject_model", "hookpoints", "corpus", "activations", "activation_set"}


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    for name, place in (("a", "California"), ("b", "Texas"), ("c", "Illinois"), ("d", "New York")):
        (tmp_path / f"{name}.txt").write_text(f"Fact: The capital of {place} is Sacramento.")
    (tmp_path / "atlas.yaml").write_text(yaml.safe_dump(CONFIG))
    monkeypatch.setenv("ATLAS_CONFIG", str(tmp_path / "atlas.yaml"))
    monkeypatch.delenv("ATLAS_STORE", raising=False)
    return load_workspace()


def read_site(workspace):
    return refresh(open_session(workspace), trigger="test", select=lambda cell: cell.asset in UP_TO_THE_SITE)


def test_a_site_goes_on_without_a_shard_that_cannot_be_read(workspace):
    (workspace.path.parent / "b.txt").write_bytes(b"\xff\xfe no text in UTF-8")

    outcome = read_site(workspace)

    assert [cell.asset for cell in outcome.failed] == ["corpus"]
    ref = read_ref(Store(workspace.store), Cell("activation_set", "w.layers.1"))
    assert ref is not None
    assert len(ref.facts["activation_set"]["shards"]) == 3


def test_a_file_that_goes_while_the_corpora_are_listed_ends_no_refresh(workspace, monkeypatch):
    listed = sources.listed_shards

    def and_then_one_goes(workspace):
        found = listed(workspace)
        (workspace.path.parent / "b.txt").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(sources, "listed_shards", and_then_one_goes)

    outcome = read_site(workspace)

    ref = read_ref(Store(workspace.store), Cell("activation_set", "w.layers.1"))
    assert ref is not None
    assert len(ref.facts["activation_set"]["shards"]) == 3
    assert {cell.asset for cell in outcome.failed} <= {"corpus"}
