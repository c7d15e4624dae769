import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from catalog_fixture import LARGE, small_frames, small_parquet

from sae.catalog.checks import check_candidate
from sae.catalog.parquet import write_parquet
from sae.catalog.publish import build_candidate, publish
from sae.catalog.versions import current_version
from sae.errors import AtlasError
from sae.storage import Store


@pytest.fixture
def store(tmp_path: Path, small_store: Path) -> Store:
    shutil.copytree(small_store, tmp_path / "store")
    return Store(str(tmp_path / "store"))


def test_a_feature_may_be_without_a_label(store: Store):
    frames = small_frames(store)
    unlabelled = frames["labels"].with_columns(status=pl.lit("refused"))

    version = build_candidate(store, frames | {"labels": unlabelled}, small_parquet(store), {})

    assert check_candidate(store, version) == []


def test_a_feature_that_is_alive_alone_has_no_neighbour(store: Store):
    frames = small_frames(store)
    alone = frames["features"].with_columns(is_dead=pl.col("index") != pl.col("index").min().over("dictionary_id"))
    parquet = small_parquet(store)
    none = pl.read_parquet(store.local(parquet["neighbors"][0].path)).clear()
    parquet["neighbors"] = [write_parquet(store, "neighbors", LARGE, none)]
    version = build_candidate(store, frames | {"features": alone}, parquet, {})

    assert "neighbors" not in {finding.table for finding in check_candidate(store, version)}


def test_the_small_catalog_has_no_fault(store: Store):
    assert check_candidate(store, current_version(store)) == []


@pytest.mark.parametrize(
    ("table", "change", "finding"),
    [
        ("features", lambda f: pl.concat([f, f.head(1)]), ("key", "features")),
        ("features", lambda f: f.tail(-1), ("reference", "labels")),
        ("features", lambda f: f.with_columns(index=pl.col("index") + 1), ("feature_id", "features")),
        ("labels", lambda f: f.filter(pl.col("index") != 7), ("reference", "label_scores")),
        ("documents", lambda f: f.tail(-1), ("reference", "examples")),
        ("prompts", lambda f: f.head(0), ("reference", "attributions")),
        ("dictionaries", lambda f: f.tail(-1), ("reference", "features")),
        ("label_examples", lambda f: f.with_columns(example_id=pl.lit("nowhere")), ("reference", "label_examples")),
        ("labels", lambda f: f.with_columns(parent_label_id=pl.lit("nowhere")), ("reference", "labels")),
        ("concept_scores", lambda f: pl.concat([f, f]), ("key", "concept_scores")),
    ],
)
def test_a_fault_in_a_frame_is_found(
    store: Store, table: str, change: Callable[[pl.DataFrame], pl.DataFrame], finding: tuple[str, str]
):
    frames = small_frames(store)
    version = build_candidate(store, frames | {table: change(frames[table])}, small_parquet(store), {})

    findings = check_candidate(store, version)

    assert finding in {(found.check, found.table) for found in findings}
    assert all(found.n > 0 for found in findings)


@pytest.mark.parametrize(
    ("table", "change", "finding"),
    [
        ("examples", lambda f: f.filter(pl.col("index") != 3), ("coverage", "examples")),
        ("neighbors", lambda f: f.filter(pl.col("index") != 3), ("coverage", "neighbors")),
        ("neighbors", lambda f: f.with_columns(rank=pl.lit(1)), ("key", "neighbors")),
        ("neighbors", lambda f: f.with_columns(neighbor_id=pl.lit("x:1")), ("reference", "neighbors")),
        ("coactivations", lambda f: f.with_columns(other_id=pl.lit("x:1")), ("reference", "coactivations")),
    ],
)
def test_a_fault_in_a_parquet_file_is_found(
    store: Store, table: str, change: Callable[[pl.DataFrame], pl.DataFrame], finding: tuple[str, str]
):
    parquet = small_parquet(store)
    rows = change(pl.read_parquet(store.local(parquet[table][0].path)))
    parquet[table][0] = write_parquet(store, table, LARGE, rows)
    version = build_candidate(store, small_frames(store), parquet, {})

    findings = check_candidate(store, version)

    assert finding in {(found.check, found.table) for found in findings}


def test_what_old_labels_point_at_may_be_gone(store: Store):
    frames = small_frames(store)
    old = frames["label_examples"].head(1).with_columns(label_id=pl.lit("label-newer"), example_id=pl.lit("gone"))
    carried = pl.when(pl.col("label_id") == "label-newer").then(pl.lit("carried")).otherwise("origin").alias("origin")
    parent = pl.when(pl.col("label_id") == "label-newer").then(pl.lit("gone")).otherwise("parent_label_id")
    changed = {
        "label_examples": pl.concat([frames["label_examples"], old]),
        "labels": frames["labels"].with_columns(carried, parent.alias("parent_label_id")),
    }

    version = build_candidate(store, frames | changed, small_parquet(store), {})

    assert check_candidate(store, version) == []


def test_a_faulty_candidate_is_not_published(store: Store):
    before = current_version(store)
    version = build_candidate(
        store, small_frames(store) | {"concepts": small_frames(store)["concepts"].head(1)}, small_parquet(store), {}
    )

    with pytest.raises(
        AtlasError, match=rf"Catalog {version} is not published. concept_scores: concept_id \w+ is not in concepts"
    ):
        publish(store, version)

    assert current_version(store) == before


def test_a_changed_file_of_the_same_size_is_found(store: Store):
    path = store.local(small_parquet(store)["examples"][0].path)
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(bytes(data))

    findings = check_candidate(store, current_version(store))

    assert [finding.check for finding in findings] == ["file"]
    assert "is damaged" in findings[0].message
