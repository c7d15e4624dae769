"""Column lineage: every source that is named is a direct input, and every column is one of its table's."""

import dagster as dg
import polars as pl
import pytest
from tiny_pipeline import write_config

from orchestration.refs import Ref
from orchestration.runner import open_session
from orchestration.table_columns import COLUMN_SOURCES, described, table_metadata
from sae.catalog.schema import TABLES
from sae.config import load_workspace


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    return open_session(load_workspace(write_config(tmp_path_factory.mktemp("columns")))).graph


@pytest.mark.parametrize("asset", COLUMN_SOURCES)
def test_columns_come_from_direct_inputs_and_exist(asset, graph):
    table = TABLES["features" if asset == "feature_map" else asset]

    for column, sources in COLUMN_SOURCES[asset].items():
        assert column in table.column_names
        for upstream, name in sources:
            assert upstream in graph.parents[asset], (asset, column, upstream)
            if upstream in TABLES:
                assert name in TABLES[upstream].column_names


def test_dagster_reads_schema_and_lineage_from_the_metadata():
    frame = pl.DataFrame({"feature_id": ["d:0"], "neighbor_id": ["d:1"], "similarity": [0.5]})
    ref = Ref("neighbors", "site.recipe", "v", "key", "1", {}, {}, {"dictionary_id": "d"})

    found = table_metadata(ref, {"neighbors": described("neighbors", frame.schema)}, {"neighbors": 1})

    event = dg.AssetMaterialization("neighbors", metadata=found)
    schema = event.metadata["dagster/column_schema"].value
    lineage = event.metadata["dagster/column_lineage"].value
    assert isinstance(schema, dg.TableSchema)
    assert isinstance(lineage, dg.TableColumnLineage)
    assert [(column.name, column.type) for column in schema.columns] == [
        ("feature_id", "String"), ("neighbor_id", "String"), ("similarity", "Float64"),
    ]  # fmt: skip
    assert schema.columns[0].description == TABLES["neighbors"].column("feature_id").comment
    assert lineage.deps_by_column["similarity"] == [dg.TableColumnDep(dg.AssetKey("dictionary"), "W_dec")]
    assert event.metadata["dagster/table_name"].value == "neighbors"
    assert event.metadata["dagster/partition_row_count"].value == 1
    assert "where dictionary_id = 'd'" in str(event.metadata["in_the_catalog"].value)


def test_a_second_table_stands_under_its_own_name():
    ref = Ref("features", None, "v", "key", "1", {}, {})

    found = table_metadata(ref, {"coactivations": described("coactivations", {"jaccard": pl.Float64()})}, {})

    assert list(found) == ["coactivations_schema"]
