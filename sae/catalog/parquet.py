"""The large tables as immutable Parquet: one file a dictionary, sorted by feature, in small row groups."""

import glob
import io

import duckdb
import polars as pl

from sae.catalog.frames import conform
from sae.catalog.schema import PARQUET_TABLES
from sae.catalog.table import Table, literal
from sae.errors import AtlasError
from sae.identity import bytes_id
from sae.storage import Store, StoredFile

ROWS_PER_GROUP = 10_240
"""Small groups make one feature's rows cheap: a reader opens only the group whose range of `index` holds it."""


_NUMBERS = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT"), "whole"),
    **dict.fromkeys(("UTINYINT", "USMALLINT", "UINTEGER"), "whole"),
    **dict.fromkeys(("FLOAT", "DOUBLE"), "floating-point"),
}
"""Types of a file that stand for one another."""


def write_parquet(store: Store, table: str, dictionary_id: str, frame: pl.DataFrame) -> StoredFile:
    """Write a dictionary's rows of a large table to `tables/<table>/<dictionary_id>-<hash>.parquet`.

    Raises AtlasError where the frame is not the table's (see `conform`) or names another dictionary.
    """
    rows = conform(PARQUET_TABLES[table], frame)
    strange = rows.filter(pl.col("dictionary_id") != dictionary_id)
    if len(strange):
        raise AtlasError(f"{table} of dictionary {dictionary_id} names another one: {strange['dictionary_id'][0]}.")
    data = io.BytesIO()
    rows.write_parquet(data, compression="zstd", row_group_size=ROWS_PER_GROUP, statistics=True)
    content = data.getvalue()
    return store.write_bytes(f"tables/{table}/{dictionary_id}-{bytes_id(content)}.parquet", content)


def parquet_scan_sql(table: Table, paths: list[str]) -> str:
    """SELECT over the files, columns by name in the table's order; no rows where there is no file.

    A cast to the type that the file has costs nothing, and lets DuckDB skip row groups as before. DuckDB takes a path
    for a pattern, and knows the brackets in which `glob.escape` puts what is none.
    """
    if not paths:
        columns = ", ".join(f'NULL::{column.type} AS "{column.name}"' for column in table.columns)
        return f"SELECT {columns} WHERE false"
    columns = ", ".join(f'"{column.name}"::{column.type} AS "{column.name}"' for column in table.columns)
    return f"SELECT {columns} FROM read_parquet([{', '.join(literal(glob.escape(path)) for path in paths)}])"


def count_rows(store: Store, table: Table, file: StoredFile) -> int:
    """Rows of a file. Raises AtlasError where it is damaged or its columns or types are not the table's.

    Numbers may be wider or narrower than in the table: readers cast them.
    """
    path = store.verify(file)
    with duckdb.connect() as connection:
        try:
            scan = f"read_parquet({literal(glob.escape(str(path)))})"
            described = connection.execute(f"SELECT column_name, column_type FROM (DESCRIBE FROM {scan})").fetchall()
            ((n_rows,),) = connection.execute(f"SELECT count(*) FROM {scan}").fetchall()
        except duckdb.Error as error:
            raise AtlasError(f"{file.path} is not Parquet: {' '.join(str(error).split())}") from error
    found = dict(described)
    for column in table.columns:
        there = found.get(column.name, "missing")
        if there != column.type and (there not in _NUMBERS or _NUMBERS[there] != _NUMBERS.get(column.type)):
            raise AtlasError(f"{file.path}: column {column.name} is {there}, but {column.type} is wanted.")
    return int(n_rows)
