"""Reading Parquet files by the very path that is given.

Polars and DuckDB take `*`, `?` and `[` in a path for a pattern: a store in a folder `atlas [old]` is not found, or
another folder's file is read for it.
"""

from collections.abc import Sequence
from pathlib import Path

import polars as pl


def read_table(path: Path, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The rows of a Parquet file, all columns or some. Raises what Polars raises."""
    return pl.read_parquet(path, columns=None if columns is None else list(columns), glob=False)


def read_table_schema(path: Path) -> pl.Schema:
    """Column names and types of a Parquet file."""
    return pl.scan_parquet(path, glob=False).collect_schema()
