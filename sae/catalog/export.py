"""One self-contained DuckDB file for other clients: every table inside it, no file beside it."""

import os
from pathlib import Path

import duckdb

from sae.catalog.guard import one_line
from sae.catalog.parquet import parquet_scan_sql
from sae.catalog.query import parquet_paths
from sae.catalog.schema import TABLES, VIEWS
from sae.catalog.table import comment_sql, create_table_sql, create_view_sql, literal, quoted
from sae.catalog.versions import catalog_path, current_version, named_version
from sae.errors import AtlasError
from sae.storage import Store


def export_duckdb(store: Store, file: Path, version: str | None = None) -> int:
    """Write a version of the catalog, the current one by default, with all rows of the large tables; its bytes.

    Raises AtlasError where `file` exists, or where the catalog or one of its files is missing or damaged.
    """
    if file.exists():
        raise AtlasError(f"{file} exists. Give another name, or remove it first.")
    wanted = named_version(store, version) if version else current_version(store)
    source = store.local(catalog_path(wanted))
    building = file.with_name(f".writing-{os.getpid()}-{file.name}")
    try:
        with duckdb.connect(str(building)) as connection:
            connection.execute(f"ATTACH {literal(str(source))} AS source (READ_ONLY)")
            connection.begin()
            _copy(connection, store)
            connection.commit()
            connection.execute("DETACH source")
            connection.execute("CHECKPOINT")
        os.replace(building, file)
    except (duckdb.Error, OSError) as error:
        raise AtlasError(f"Catalog {wanted} cannot be exported to {file}: {one_line(error)}") from error
    finally:
        building.unlink(missing_ok=True)
        building.with_name(f"{building.name}.wal").unlink(missing_ok=True)
    return file.stat().st_size


def _copy(connection: duckdb.DuckDBPyConnection, store: Store) -> None:
    rows = connection.execute("SELECT table_name, path, size FROM source.parquet_files ORDER BY ALL").fetchall()
    files = parquet_paths(store, rows)
    for name, table in TABLES.items():
        rows_sql = parquet_scan_sql(table, files[name]) if table.parquet else f"SELECT * FROM source.{quoted(name)}"
        connection.execute(create_table_sql(table))
        # The manifest stays empty: there is no file to refer to.
        if name != "parquet_files":
            connection.execute(f"INSERT INTO {quoted(name)} {rows_sql}")
        for statement in comment_sql(table, "TABLE"):
            connection.execute(statement)
    for view in VIEWS.values():
        connection.execute(create_view_sql(view))
        for statement in comment_sql(view, "VIEW"):
            connection.execute(statement)
