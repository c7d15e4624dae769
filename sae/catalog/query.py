"""Reading the catalog: a hardened read-only connection, and polars frames out of it."""

import contextlib
import glob
import threading
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

import duckdb
import polars as pl

from sae.catalog.guard import guard, one_line
from sae.catalog.parquet import parquet_scan_sql
from sae.catalog.schema import PARQUET_TABLES, SCHEMA_VERSION
from sae.catalog.table import comment_sql, literal, quoted
from sae.catalog.versions import catalog_path, current_version, named_version
from sae.errors import AtlasError
from sae.storage import Store

TIMEOUT_SECONDS = 60.0
"""A query that takes longer is interrupted."""
MEMORY_LIMIT = "2GB"
"""Bound on a reader's memory; nothing is spilt to disk."""
_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "python_enable_replacements": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "memory_limit": MEMORY_LIMIT,
    "temp_directory": "",
}


class Catalog:
    """One version of the catalog, open read-only. Safe to share between threads; close it or use `with`."""

    def __init__(self, store: Store, version: str, connection: duckdb.DuckDBPyConnection, views: Sequence[str]):
        self.store = store
        self.version = version
        self._connection = connection
        self._views = views
        self._idle: list[duckdb.DuckDBPyConnection] = []
        self._lock = threading.Lock()
        self._is_closed = False

    def sql(
        self,
        query: str,
        params: Sequence[Any] | dict[str, Any] = (),
        limit: int | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> pl.DataFrame:
        """Run one reading statement, with `?` or `$name` filled from `params`; at most `limit` rows.

        Raises AtlasError on anything but a single reading statement (see `guard`), on DuckDB's own errors, and after
        `timeout` seconds.
        """
        with self._cursor() as cursor, _interrupted_after(cursor, timeout) as expired:
            statement = guard(cursor, query)
            try:
                rows = cursor.sql(statement, params=params or None)
                return (rows if limit is None else rows.limit(limit)).pl()
            except duckdb.InterruptException as error:
                if expired.is_set():
                    raise AtlasError(f"The query took more than {timeout:g} s and was stopped.") from error
                raise
            except (duckdb.Error, pl.exceptions.PolarsError) as error:
                raise AtlasError(one_line(error)) from error

    def close(self) -> None:
        """Close the connection. Queries still running end first, each on its own cursor; later ones are refused."""
        with self._lock:
            self._is_closed = True
            for cursor in self._idle:
                cursor.close()
            self._idle.clear()
        self._connection.close()

    def __enter__(self) -> "Catalog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextlib.contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor of one's own: TEMP views belong to a cursor, so one that has them is used again."""
        with self._lock:
            if self._is_closed:
                raise AtlasError("This catalog is closed. Open it again with open_catalog.")
            cursor = self._idle.pop() if self._idle else None
        if cursor is None:
            cursor = self._connection.cursor()
            for statement in self._views:
                cursor.execute(statement)
        try:
            yield cursor
        finally:
            with self._lock:
                if not self._is_closed:
                    self._idle.append(cursor)
                else:
                    cursor.close()


def open_catalog(store: Store, version: str | None = None) -> Catalog:
    """Open a version of the catalog, the current one by default; a version's number is enough of its name.

    The connection reads that file and the Parquet files of its manifest, no other file; it writes nothing, and its
    settings are locked. Raises AtlasError where the version does not exist (with those that do), where it is of another
    schema version or damaged, and where a Parquet file is missing or has another size than recorded.
    """
    if version is not None:
        return _open(store, named_version(store, version))
    wanted = current_version(store)
    while True:
        try:
            return _open(store, wanted)
        except AtlasError:
            # Publishing may have removed an old version between reading `CURRENT` and opening it.
            newer = current_version(store)
            if newer == wanted:
                raise
            wanted = newer


def _open(store: Store, version: str) -> Catalog:
    path = str(store.local(catalog_path(version)))
    with contextlib.ExitStack() as opened:
        try:
            connection = duckdb.connect(path, read_only=True, config=_SETTINGS)
            opened.callback(connection.close)
            _check_schema_version(connection, version)
            rows = connection.execute("SELECT table_name, path, size FROM parquet_files ORDER BY ALL").fetchall()
            files = parquet_paths(store, rows)
            _harden(connection, path, [file for paths in files.values() for file in paths])
            catalog = Catalog(store, version, connection, _view_statements(files))
            catalog.sql("SELECT 1")
        except duckdb.Error as error:
            raise AtlasError(
                f"Catalog {version} cannot be read: {one_line(error)}. `atlas run` builds it again."
            ) from error
        opened.pop_all()
    return catalog


def _check_schema_version(connection: duckdb.DuckDBPyConnection, version: str) -> None:
    query = "SELECT value FROM atlas WHERE key = 'schema_version'"
    try:
        rows = connection.execute(query).fetchall()
    except duckdb.CatalogException:
        rows = []
    found = rows[0][0] if rows else "none"
    if found != str(SCHEMA_VERSION):
        raise AtlasError(
            f"Catalog {version} has schema version {found}, this program reads {SCHEMA_VERSION}. "
            "`atlas run` builds it again, or use the matching release."
        )


def parquet_paths(store: Store, manifest: Sequence[tuple[str, str, int]]) -> dict[str, list[str]]:
    """Absolute paths of each large table's files, from rows (table, path in the store, bytes) of the manifest.

    They stand relative there, so a copied store opens. Raises AtlasError where one is missing or has another size.
    """
    files: dict[str, list[str]] = {name: [] for name in PARQUET_TABLES}
    for table, path, size in manifest:
        local = store.local(path).absolute()
        if local.stat().st_size != size:
            raise AtlasError(f"{path} is damaged: its size is not the recorded one. Delete it and run `atlas run`.")
        files[table].append(str(local))
    return files


def _harden(connection: duckdb.DuckDBPyConnection, database: str, paths: list[str]) -> None:
    """Allow the manifest's files alone (DuckDB adds its own, `<database>…`), then lock the settings.

    `allowed_paths`, not `allowed_directories`: DuckDB 2.0 lets `<allowed folder>/../elsewhere` through. Connections of
    one process to one file share their settings, so a second reader finds them locked already, and checks them. DuckDB
    looks for the pattern of `parquet_scan_sql`, then for the file that it finds: both are allowed.
    """
    paths = list(dict.fromkeys(name for path in paths for name in (path, glob.escape(path))))
    listed = ", ".join(literal(path) for path in paths)
    for setting in (f"allowed_paths = [{listed}]", "enable_external_access = false", "lock_configuration = true"):
        with contextlib.suppress(duckdb.InvalidInputException):
            connection.execute(f"SET {setting}")
    names = ("allowed_paths", "allowed_directories", "enable_external_access", "lock_configuration")
    query = f"SELECT {', '.join(f'current_setting({literal(name)})' for name in names)}"
    ((allowed, folders, is_open, is_locked),) = connection.execute(query).fetchall()
    others = {path for path in allowed if not path.startswith(database)}
    if others != set(paths) or folders or is_open or not is_locked:
        raise AtlasError("The catalog is open with other settings in this process. Close that connection first.")


def _view_statements(files: dict[str, list[str]]) -> list[str]:
    statements: list[str] = []
    for name, table in PARQUET_TABLES.items():
        statements.append(f"CREATE TEMP VIEW {quoted(name)} AS {parquet_scan_sql(table, files[name])}")
        statements += comment_sql(table, "VIEW")
    return statements


@contextlib.contextmanager
def _interrupted_after(cursor: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[threading.Event]:
    """Interrupt the cursor when the time is over; the event tells whether that happened."""
    expired = threading.Event()

    def interrupt() -> None:
        expired.set()
        cursor.interrupt()

    timer = threading.Timer(seconds, interrupt)
    timer.start()
    try:
        yield expired
    finally:
        timer.cancel()
