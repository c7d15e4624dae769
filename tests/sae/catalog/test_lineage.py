"""The lineage walked from a cell gives what the view of all pairs holds for it."""

from collections.abc import Iterator

import polars as pl
import pytest
from catalog_fixture import small_frames, small_parquet
from catalog_with_past import PAIR, frames_with_past

from sae.catalog.lineage import dependants_by_asset, made_from_cells, sources_by_asset
from sae.catalog.publish import build_candidate
from sae.catalog.query import Catalog, open_catalog
from sae.storage import Store


@pytest.fixture(scope="module")
def catalog(tmp_path_factory) -> Iterator[Catalog]:
    store = Store(str(tmp_path_factory.mktemp("lineage")))
    store.open_schema()
    frames = frames_with_past(store) | {"features": small_frames(store)["features"]}
    with open_catalog(store, build_candidate(store, frames, small_parquet(store), {})) as opened:
        yield opened


def test_every_source_of_a_cell_is_found_by_asset_with_the_fewest_steps(catalog):
    expected = catalog.sql(
        """
        select from_asset as asset, min(depth) as depth, count(distinct from_partition) as n_partitions
        from lineage_closure where asset = 'labels' and partition = ? group by 1 order by 2, 1
        """,
        [PAIR],
    )

    found = sources_by_asset(catalog, "labels", PAIR)

    assert found.select("asset", "depth", "n_partitions").equals(expected)
    assert found.filter(asset="corpus")["partitions"].to_list() == [["world-00000", "world-00001"]]
    assert found.filter(asset="corpus")["code_version"].to_list() == ["1"]


def test_what_was_made_from_a_cell_is_found_downwards(catalog):
    found = dependants_by_asset(catalog, "dictionary", PAIR)

    assert dict(found.select("asset", "depth").iter_rows()) == {"features": 1, "labels": 2, "label_scores": 3}


def test_cells_made_from_some_partitions_are_those_of_the_view(catalog):
    expected = catalog.sql(
        "select asset, partition, min(depth) as depth from lineage_closure where from_asset = 'corpus' group by 1, 2"
    )

    found = made_from_cells(catalog, "corpus", ["world-00000", "world-00001"])

    assert found.equals(expected.sort("asset", "partition").cast({"depth": pl.Int32}))


def test_an_asset_without_partitions_is_asked_for_by_none(catalog):
    assert made_from_cells(catalog, "labeler_config", [None])["asset"].to_list() == ["label_scores", "labels"]
    assert made_from_cells(catalog, "nothing", [None]).is_empty()
