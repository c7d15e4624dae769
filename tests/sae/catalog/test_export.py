from pathlib import Path

import duckdb
import pytest

from sae.catalog import open_catalog
from sae.catalog.export import export_duckdb
from sae.catalog.schema import TABLES, VIEWS
from sae.errors import AtlasError
from sae.storage import Store


def test_the_file_holds_every_row_and_comment_by_itself(small_store: Path, tmp_path: Path):
    store = Store(str(small_store))

    size = export_duckdb(store, tmp_path / "atlas.duckdb")

    assert size == (tmp_path / "atlas.duckdb").stat().st_size
    with duckdb.connect(str(tmp_path / "atlas.duckdb"), read_only=True) as exported, open_catalog(store) as catalog:
        for name in (TABLES | VIEWS).keys() - {"parquet_files"}:
            query = f"SELECT count(*) FROM {name}"
            assert exported.execute(query).fetchall()[0][0] == catalog.sql(query).item(), name
        bare = "SELECT count(*) FROM duckdb_columns() WHERE NOT internal AND comment IS NULL"
        assert exported.execute(bare).fetchall() == [(0,)]


def test_an_existing_file_is_left_alone(small_store: Path, tmp_path: Path):
    (tmp_path / "atlas.duckdb").write_text("mine")

    with pytest.raises(AtlasError, match="exists"):
        export_duckdb(Store(str(small_store)), tmp_path / "atlas.duckdb")

    assert (tmp_path / "atlas.duckdb").read_text() == "mine"
