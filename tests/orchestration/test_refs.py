"""Refs: what a cell holds, written whole and read back; a damaged one is named."""

import pytest

from orchestration.partitions import Cell
from orchestration.refs import Ref, build_key, file_faults, read_ref, ref_path, write_ref
from sae.errors import AtlasError
from sae.storage import Store


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "store"))


def make_ref(store, **changes):
    files = {"table": store.write_bytes("tables/t.parquet", b"rows")}
    ref = Ref("features", "m.layers.3.large", "v1", "key", "1", {"dictionary[m.layers.3.large]": "d1"}, files)
    return Ref(**{**vars(ref), **changes})


def test_a_ref_comes_back_as_it_was(store):
    ref = make_ref(
        store, facts={"n": 3, "name": "Zürich"}, run_id="r", started_at="2026-01-01", finished_at="2026-01-02"
    )

    write_ref(store, ref)

    assert read_ref(store, ref.cell) == ref


def test_what_was_never_made_has_no_ref(store):
    assert read_ref(store, Cell("features", "other")) is None
    assert ref_path(Cell("catalog", None)) == "refs/catalog/all.json"


@pytest.mark.parametrize(
    "content", ["{", "{}", '{"asset": "features"}', '{"files": {"t": {"path": "p"}}}', "[]", "null"]
)
def test_a_damaged_ref_is_named(content, store):
    store.write_bytes("refs/features/x.json", content.encode())

    with pytest.raises(AtlasError, match=r"refs/features/x\.json is damaged"):
        read_ref(store, Cell("features", "x"))


def test_a_file_of_another_size_or_gone_is_a_fault(store):
    ref = make_ref(store)
    assert file_faults(store, ref) == []

    path = store.local("tables/t.parquet")
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1])
    assert file_faults(store, ref) == [f"tables/t.parquet is damaged: it has {size - 1} bytes, {size} were written"]

    store.delete("tables/t.parquet")
    assert file_faults(store, ref) == ["tables/t.parquet is missing from the store"]


def test_the_build_key_follows_cell_code_and_inputs_and_no_order():
    cell, inputs = Cell("features", "x"), {"a": "1", "b": "2"}
    key = build_key(cell, "1", inputs)

    assert build_key(cell, "1", {"b": "2", "a": "1"}) == key
    others = [
        build_key(Cell("features", "y"), "1", inputs),
        build_key(Cell("examples", "x"), "1", inputs),
        build_key(cell, "2", inputs),
        build_key(cell, "1", {"a": "1", "b": "3"}),
        build_key(cell, "1", {"a": "1"}),
    ]
    assert len({key, *others}) == 6
