import shutil
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from catalog_fixture import small_frames, small_parquet

from sae.catalog import open_catalog
from sae.catalog.parquet import write_parquet
from sae.catalog.publish import build_candidate, catalog_content_id, publish
from sae.catalog.schema import TABLES
from sae.catalog.versions import catalog_path, current_version, list_versions, prune, search_folder
from sae.errors import AtlasError
from sae.storage import Store


@pytest.fixture
def store(tmp_path: Path, small_store: Path) -> Store:
    shutil.copytree(small_store, tmp_path / "store")
    return Store(str(tmp_path / "store"))


def candidate(store: Store, **frames: pl.DataFrame) -> str:
    return build_candidate(store, small_frames(store) | frames, small_parquet(store), {})


def test_a_candidate_changes_nothing_for_readers(store: Store):
    before = current_version(store)

    version = candidate(store)

    assert version in list_versions(store)
    assert current_version(store) == before


def test_publishing_moves_readers_and_keeps_what_they_have_open(store: Store):
    with open_catalog(store) as old:
        publish(store, candidate(store))
        with open_catalog(store) as new:
            assert new.version != old.version
            assert old.sql("select count(*) from features").item() == new.sql("select count(*) from features").item()


def test_the_last_three_versions_stay(store: Store):
    versions = list_versions(store) + [candidate(store) for _ in range(3)]
    publish(store, versions[-1])
    with open_catalog(store, versions[0]) as old:
        removed = prune(store)

        assert removed == versions[:1]
        assert list_versions(store) == versions[1:]
        assert not store.exists(search_folder(versions[0]))
        assert old.sql("select count(*) from labels").item() > 0


def test_a_past_version_is_opened_by_its_name_or_its_number(store: Store):
    first = current_version(store)
    publish(store, candidate(store))

    for name in (first, first.split("-")[0], "1"):
        with open_catalog(store, name) as past:
            assert past.version == first
    assert current_version(store) != first


@pytest.mark.parametrize("name", ["9", "", "000009-abc", "../../etc/passwd", "0"])
def test_a_version_that_there_is_not_is_refused_with_those_there_are(name: str, store: Store):
    publish(store, candidate(store))

    with pytest.raises(AtlasError) as refused:
        open_catalog(store, name)

    assert all(version in str(refused.value) for version in list_versions(store))


def test_the_current_version_is_never_pruned(store: Store):
    first = current_version(store)
    for _ in range(3):
        candidate(store)

    assert prune(store, kept=1)
    assert first in list_versions(store)


def test_the_content_id_leaves_out_runs_times_and_cost(store: Store):
    frames, parquet = small_frames(store), small_parquet(store)
    later = frames["labels"].with_columns(
        run_id=pl.lit("another"), created_at=pl.lit(datetime(2027, 1, 1)), cost_usd=pl.lit(0.5)
    )
    renamed = frames["labels"].with_columns(label=pl.lit("another"))

    content = catalog_content_id(frames, parquet)

    assert catalog_content_id(frames | {"labels": later.sample(fraction=1, shuffle=True, seed=1)}, parquet) == content
    assert catalog_content_id(frames | {"labels": renamed}, parquet) != content


def test_a_frame_that_is_not_its_tables_is_refused(store: Store):
    before = list_versions(store)

    with pytest.raises(AtlasError, match="lacks density"):
        candidate(store, features=small_frames(store)["features"].drop("density"))
    with pytest.raises(AtlasError, match="no table"):
        candidate(store, feature=small_frames(store)["features"])
    with pytest.raises(AtlasError, match=r"Table evaluation: .*JSON"):
        candidate(store, evaluation=small_frames(store)["evaluation"].with_columns(details=pl.lit("{not json")))

    assert list_versions(store) == before


def test_a_parquet_file_of_another_table_is_refused(store: Store):
    files = small_parquet(store)

    with pytest.raises(AtlasError, match=r"column \w+ is missing"):
        build_candidate(store, small_frames(store), files | {"examples": files["neighbors"]}, {})


def test_parquet_goes_by_its_dictionary(store: Store):
    neighbours = pl.read_parquet(store.local(small_parquet(store)["neighbors"][0].path))

    with pytest.raises(AtlasError, match="names another one"):
        write_parquet(store, "neighbors", "someone-else", neighbours)


def test_facts_stand_in_the_catalog(store: Store):
    version = build_candidate(store, small_frames(store), small_parquet(store), {"config": "seed: 1"})

    with open_catalog(store, version) as catalog:
        facts = dict(catalog.sql("select key, value from atlas").iter_rows())
    assert facts["config"] == "seed: 1"
    assert facts["version"] == version
    with pytest.raises(AtlasError, match="'version' is written by publishing"):
        build_candidate(store, small_frames(store), small_parquet(store), {"version": "1"})


def test_a_catalog_of_nothing_is_published_and_read(tmp_path: Path):
    store = Store(str(tmp_path))

    publish(store, build_candidate(store, {}, {}, {}))

    with open_catalog(store) as catalog:
        counts = [catalog.sql(f"select count(*) from {name}").item() for name in TABLES if name != "atlas"]
    assert sum(counts) == 0


def test_a_failed_build_leaves_no_file(store: Store, monkeypatch: pytest.MonkeyPatch):
    before = {path for path in Path(store.root).rglob("*") if "search-" not in str(path)}
    monkeypatch.setattr("sae.catalog.publish.create_view_sql", lambda view: "CREATE VIEW broken")

    with pytest.raises(AtlasError, match=r"cannot be written: .*syntax error"):
        candidate(store)

    assert {path for path in Path(store.root).rglob("*") if "search-" not in str(path)} == before


def test_a_version_that_is_not_there_is_not_published(store: Store):
    with pytest.raises(AtlasError, match="There is no catalog 000099-abc"):
        publish(store, "000099-abc")
    assert store.exists(catalog_path(current_version(store)))
