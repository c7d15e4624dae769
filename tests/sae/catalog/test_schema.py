from pathlib import Path

import pytest

from sae.catalog import open_catalog
from sae.catalog.frames import empty_frame, frame_schema
from sae.catalog.schema import NATIVE_TABLES, PARQUET_TABLES, TABLES, VIEWS
from sae.storage import Store


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_a_table_is_whole(table):
    names = table.column_names
    assert len(set(names)) == len(names)
    assert set(table.key) <= set(names)
    assert set(table.order) <= set(names)
    assert all(column.comment.endswith(".") for column in table.columns)
    assert table.comment.endswith(".")
    if "feature_id" in names:
        assert {"dictionary_id", "index"} <= set(names)


@pytest.mark.parametrize("table", PARQUET_TABLES.values(), ids=lambda table: table.name)
def test_the_large_tables_are_sorted_by_feature(table):
    assert table.order[:2] == ("dictionary_id", "index")


def test_the_catalog_has_exactly_the_columns_and_types_of_the_schema_in_order(small_store: Path):
    query = """select table_name, list(column_name order by ordinal_position) as names,
        list(data_type order by ordinal_position) as types from information_schema.columns group by table_name"""

    with open_catalog(Store(str(small_store))) as catalog:
        found = {name: (names, types) for name, names, types in catalog.sql(query).iter_rows()}

    wanted = {
        name: ([column.name for column in relation.columns], [column.type for column in relation.columns])
        for name, relation in (TABLES | VIEWS).items()
    }
    assert found == wanted


def test_every_table_view_and_column_has_its_comment(small_store: Path):
    with open_catalog(Store(str(small_store))) as catalog:
        relations = dict(catalog.sql("select table_name, table_comment from information_schema.tables").iter_rows())
        columns = catalog.sql("select table_name, column_name, comment from duckdb_columns() where not internal")

    assert relations == {name: relation.comment for name, relation in (TABLES | VIEWS).items()}
    found = {(table, column): comment for table, column, comment in columns.iter_rows()}
    wanted = {(n, column.name): column.comment for n, r in (TABLES | VIEWS).items() for column in r.columns}
    assert found == wanted


def test_the_small_catalog_fills_every_table(small_store: Path):
    with open_catalog(Store(str(small_store))) as catalog:
        counts = {name: catalog.sql(f"select count(*) from {name}").item() for name in TABLES | VIEWS}

    assert all(counts.values()), counts


def test_an_empty_frame_has_the_tables_schema():
    for table in NATIVE_TABLES.values():
        assert empty_frame(table).schema == frame_schema(table)
