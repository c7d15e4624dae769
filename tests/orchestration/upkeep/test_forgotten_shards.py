"""What a list of forgotten documents does to the shards that a corpus is cut into."""

from pathlib import Path

import pytest
from tiny_pipeline import write_config

from orchestration.forgotten_list import read_forgotten, write_forgotten
from orchestration.sources import listed_shards, shards
from sae.config import Workspace, load_workspace
from sae.corpora.forgotten import Forgotten
from sae.errors import AtlasError
from sae.storage import Store


@pytest.fixture
def files(tmp_path: Path) -> Workspace:
    """A workspace whose corpus is three files, a shard each."""
    for name in ("a.txt", "b.txt", "c.txt"):
        (tmp_path / name).write_text(f"what {name} says")

    def edit(config):
        config["corpora"] = {"mine": {"source": "files", "paths": ["*.txt"], "shards": 2}}
        config["sites"][0]["corpora"] = ["mine"]

    return load_workspace(write_config(tmp_path, edit))


def test_a_shard_of_which_all_was_forgotten_is_gone_until_its_file_changes(files: Workspace):
    listed = listed_shards(files)
    gone = next(iter(listed))
    write_forgotten(Store(files.store), Forgotten({"x": "now"}, {gone: ("x",)}, {gone: listed[gone]}))

    assert shards(files) == {shard: version for shard, version in listed.items() if shard != gone}

    for path in files.path.parent.glob("*.txt"):
        path.write_text(f"{path.read_text()} and more")
    assert set(shards(files)) == set(listed)


def test_a_shard_that_lost_a_document_has_changed_and_no_other_has(files: Workspace):
    listed = listed_shards(files)
    lost = next(iter(listed))
    write_forgotten(Store(files.store), Forgotten({"x": "now"}, {lost: ("x",)}))

    changed = {shard for shard, version in shards(files).items() if version != listed[shard]}

    assert changed == {lost}


def test_a_damaged_list_stops_every_plan(files: Workspace):
    Store(files.store).write_bytes("forgotten.json", b"{}")

    with pytest.raises(AtlasError, match="damaged"):
        shards(files)


def test_nothing_is_forgotten_in_a_new_store(files: Workspace):
    assert read_forgotten(Store(files.store)) == Forgotten()
    assert shards(files) == listed_shards(files)
