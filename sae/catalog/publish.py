"""Publishing: a candidate is built whole and checked, then `CURRENT` moves to it. Readers never see half a catalog."""

import importlib.metadata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars as pl

from sae.catalog.checks import check_candidate
from sae.catalog.frames import conform, empty_frame, frame_schema
from sae.catalog.parquet import count_rows
from sae.catalog.schema import MADE_BY_PUBLISH, NATIVE_TABLES, PARQUET_TABLES, SCHEMA_VERSION, TABLES, VIEWS
from sae.catalog.search_index import build_search_index
from sae.catalog.table import Table, comment_sql, create_table_sql, create_view_sql, quoted
from sae.catalog.versions import CURRENT, catalog_path, list_versions, next_version
from sae.errors import AtlasError
from sae.identity import content_id, frame_id
from sae.storage import Store, StoredFile


def build_candidate(
    store: Store,
    frames: Mapping[str, pl.DataFrame],
    parquet: Mapping[str, Sequence[StoredFile]],
    facts: Mapping[str, str],
) -> str:
    """Build `catalog/catalog-<version>.duckdb` and its search index, and return the version; `CURRENT` stays.

    `frames` holds the native tables by name (see `frame_schema`; a table left out is empty), `parquet` the files of
    the large ones, `facts` go into the table `atlas`. Raises AtlasError on a frame or file that is not its table's,
    and on a full disk.
    """
    tables = _conform_all(frames)
    manifest = _manifest(store, parquet)
    content = catalog_content_id(tables, parquet)
    version = next_version(store, content)
    tables["parquet_files"] = manifest
    tables["atlas"] = _facts_frame(facts, version, content)
    build_search_index(store, version, tables)
    with store.writing(catalog_path(version)) as building:
        try:
            _write_database(building, tables)
        except duckdb.Error as error:
            raise AtlasError(f"{catalog_path(version)} cannot be written: {' '.join(str(error).split())}") from error
        finally:
            building.with_name(f"{building.name}.wal").unlink(missing_ok=True)
    return version


def publish(store: Store, version: str) -> None:
    """Make a candidate current, atomically. Raises AtlasError, and moves nothing, where the candidate has a fault."""
    if version not in list_versions(store):
        raise AtlasError(f"There is no catalog {version} in {store.root}. `atlas run` builds one.")
    findings = check_candidate(store, version)
    if findings:
        more = f" ({len(findings) - 1} more)" if len(findings) > 1 else ""
        raise AtlasError(f"Catalog {version} is not published. {findings[0]}{more}")
    store.write_bytes(CURRENT, f"{version}\n".encode())


def catalog_content_id(frames: Mapping[str, pl.DataFrame], parquet: Mapping[str, Sequence[StoredFile]]) -> str:
    """Id of what a catalog says: its schema, logical rows and Parquet hashes, without run ids, times and cost."""
    parts: dict[str, str | list[str]] = {"schema_version": str(SCHEMA_VERSION)}
    for name, table in NATIVE_TABLES.items():
        if not table.volatile:
            volatile = [column.name for column in table.columns if column.volatile]
            parts[name] = frame_id(conform(table, frames[name]) if name in frames else empty_frame(table), volatile)
    for name in PARQUET_TABLES:
        parts[name] = sorted(file.sha256 for file in parquet.get(name, ()))
    return content_id(parts)


def _conform_all(frames: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    for name in frames:
        if name not in NATIVE_TABLES or name in MADE_BY_PUBLISH:
            raise AtlasError(f"{name!r} is no table that a frame is given for.")
    wanted = [table for name, table in NATIVE_TABLES.items() if name not in MADE_BY_PUBLISH]
    return {t.name: conform(t, frames[t.name]) if t.name in frames else empty_frame(t) for t in wanted}


def _manifest(store: Store, parquet: Mapping[str, Sequence[StoredFile]]) -> pl.DataFrame:
    rows = []
    for name, files in parquet.items():
        if name not in PARQUET_TABLES:
            raise AtlasError(f"{name!r} is no table held as Parquet. Those are: {', '.join(PARQUET_TABLES)}.")
        for file in files:
            n_rows = count_rows(store, PARQUET_TABLES[name], file)
            rows.append((name, file.path, file.sha256, file.size, n_rows))
    table = TABLES["parquet_files"]
    return conform(table, pl.DataFrame(rows, schema=frame_schema(table), orient="row"))


def _facts_frame(facts: Mapping[str, str], version: str, content: str) -> pl.DataFrame:
    own = {
        "schema_version": str(SCHEMA_VERSION),
        "version": version,
        "content_id": content,
        "build": f"feature-atlas {importlib.metadata.version('feature-atlas')}",
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    taken = sorted(own.keys() & facts.keys())
    if taken:
        raise AtlasError(f"The fact {taken[0]!r} is written by publishing itself; give it another name.")
    rows = sorted({**facts, **own}.items())
    return pl.DataFrame(rows, schema=frame_schema(TABLES["atlas"]), orient="row")


def _write_database(path: Path, tables: Mapping[str, pl.DataFrame]) -> None:
    with duckdb.connect(str(path)) as connection:
        # One transaction: each commit would wait for the disk.
        connection.begin()
        for name, table in NATIVE_TABLES.items():
            connection.execute(create_table_sql(table))
            _insert(connection, table, tables[name])
            for statement in comment_sql(table, "TABLE"):
                connection.execute(statement)
        for view in VIEWS.values():
            connection.execute(create_view_sql(view))
            for statement in comment_sql(view, "VIEW"):
                connection.execute(statement)
        connection.commit()
        connection.execute("CHECKPOINT")


def _insert(connection: duckdb.DuckDBPyConnection, table: Table, frame: pl.DataFrame) -> None:
    if frame.is_empty():
        return
    values = [
        f"map_from_entries({quoted(c.name)})" if c.type.startswith("MAP") else quoted(c.name) for c in table.columns
    ]
    connection.register("incoming", frame.to_arrow())
    try:
        connection.execute(f"INSERT INTO {quoted(table.name)} SELECT {', '.join(values)} FROM incoming")
    except (duckdb.ConversionException, duckdb.ConstraintException) as error:
        raise AtlasError(f"Table {table.name}: {' '.join(str(error).split())}") from error
    connection.unregister("incoming")
