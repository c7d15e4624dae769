"""What a refresh would cost, by what past runs took."""

import pytest

from orchestration.forecast import as_json, disk, forecast, in_words
from orchestration.partitions import Cell, Keys
from orchestration.planner import Plan, Standing
from orchestration.refs import Ref
from sae.config import load_workspace
from sae.storage import Store, StoredFile


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.delenv("ATLAS_STORE", raising=False)
    path = tmp_path / "atlas.yaml"
    path.write_text(
        """
store: store
models: {w: {source: world}}
corpora: {world: {source: world, shards: 2}}
sites: [{model: w, hookpoint: layers.3, corpora: [world]}]
dictionaries: {one: {architecture: topk, latents: 8, k: 2}}
"""
    )
    return load_workspace(path)


def took(asset, partition, seconds, size=0, begun=0):
    files = {"f": StoredFile("a/b", size, "0")}
    start, end = (f"2026-01-01T00:00:{moment:06.3f}+00:00" for moment in (begun, begun + seconds))
    return Ref(asset, partition, "v", "k", "1", {}, files, started_at=start, finished_at=end)


def test_a_cell_costs_what_it_took_last_and_a_new_one_the_median_of_its_asset(workspace):
    refs = [took("corpus", "w-0", 2, 10), took("corpus", "w-1", 4, 30), took("corpus", "w-2", 30, 20)]
    plan = Plan(
        (
            Standing(Cell("corpus", "w-1"), "stale", ("changed",)),
            Standing(Cell("corpus", "w-3"), "missing", ("never",)),
            Standing(Cell("corpus", "w-2"), "fresh"),
            Standing(Cell("activations", "w-3|s"), "waiting", ("waits",)),
        ),
        {ref.cell: ref for ref in refs},
        Keys(workspace.config),
    )

    found = forecast(workspace, plan)

    assert (found.partitions, found.seconds, found.more_bytes) == (3, 8, 50)
    assert found.unknown == ("activations",)
    assert (found.label_tokens, found.label_usd) == (0, 0.0)
    assert in_words(found, {}) == [
        "A run makes up to 3 partitions: about 8 s by past runs; not counting what was never made: activations."
    ]


def test_what_was_made_at_the_same_time_counts_once(workspace):
    refs = [
        took("activations", "w-0|a", 6),
        took("activations", "w-0|b", 8, begun=1),
        took("corpus", "w-0", 3, begun=20),
    ]
    keys = Keys(workspace.config)
    plan = Plan(tuple(Standing(ref.cell, "stale", ("changed",)) for ref in refs), {ref.cell: ref for ref in refs}, keys)

    assert forecast(workspace, plan).seconds == 9 + 3


def test_nothing_to_do_costs_nothing(workspace):
    found = forecast(workspace, Plan((Standing(Cell("catalog", None), "fresh"),), {}, Keys(workspace.config)))

    assert in_words(found, {"tables": 2_500_000}) == ["The store holds 2 MB (tables 2 MB)."]
    assert as_json(found, {})["cost"] == {
        "partitions": 0, "seconds": 0, "unknown": [], "label_tokens": 0, "label_usd": 0.0,
    }  # fmt: skip


def test_disk_is_counted_by_folder_the_largest_first(tmp_path):
    store = Store(str(tmp_path / "store"))
    assert disk(store) == {}
    store.write_bytes("a/deep/x", b"123")
    store.write_bytes("b/y", b"12345")

    assert list(disk(store).items()) == [("b", 5), ("a", 3)]
