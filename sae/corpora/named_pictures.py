"""The picture files that a table names, which belong to what it says."""

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


@lru_cache(maxsize=4_096)
def named_pictures(path: Path, column: str, sha256: str) -> tuple[str, ...]:
    """The paths in a column of a jsonl or Parquet file, each once, sorted; of a table of bytes none.

    A file is parsed once while `sha256`, its content's, is the same. What cannot be parsed names nothing here: reading
    the shard says in words what is wrong with it.
    """
    kind = path.suffix.lower()
    found = _of_lines(path, column) if kind == ".jsonl" else _of_parquet(path, column) if kind == ".parquet" else ()
    return tuple(sorted({name for name in found if name and "\0" not in name}))


def _of_lines(path: Path, column: str) -> Iterator[str]:
    with path.open("rb") as file:
        for line in file:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            yield from _paths_of(row.get(column) if isinstance(row, dict) else None)


def _of_parquet(path: Path, column: str) -> Iterator[str]:
    try:
        file = pq.ParquetFile(path)
        index = file.schema_arrow.get_field_index(column)
        kind = file.schema_arrow.field(index).type if index >= 0 else None
        # Of a picture in two fields the bytes are large, and not asked for.
        wanted = f"{column}.path" if kind is not None and pa.types.is_struct(kind) else column
        if kind is None or not (pa.types.is_struct(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            return
        for batch in file.iter_batches(columns=[wanted]):
            for value in batch.column(0).to_pylist() if batch.num_columns else ():
                yield from _paths_of(value)
    except (pa.ArrowException, OSError):
        return


def _paths_of(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = None if value.get("bytes") else value.get("path")
    if isinstance(value, str):
        yield value
