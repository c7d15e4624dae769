"""Everything that a store and its state say, decoded: for tests that look for what must not be there."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import polars as pl
import tantivy


def said(folder: Path) -> Iterator[tuple[str, str]]:
    """(file, what it says) for every file below a folder: its bytes, and the cells of tables and databases."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        data = path.read_bytes()
        yield name, data.decode("utf-8", "replace")
        if path.suffix == ".parquet":
            yield from ((name, text) for text in _cells(pl.read_parquet(path)))
        elif path.suffix == ".duckdb":
            with closing(duckdb.connect(str(path), read_only=True)) as catalog:
                for (table,) in catalog.execute("select table_name from duckdb_tables()").fetchall():
                    yield from ((f"{name} {table}", text) for text in _cells(catalog.table(table).pl()))
        elif data.startswith(b"SQLite format 3\x00"):
            with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
                for (table,) in database.execute("select name from sqlite_master where type = 'table'").fetchall():
                    for row in database.execute(f'select * from "{table}"'):
                        yield f"{name} {table}", " | ".join(map(str, row))
        elif path.name == "meta.json" and path.parent.name.startswith("search-"):
            searcher = tantivy.Index.open(str(path.parent)).searcher()
            for _, address in searcher.search(tantivy.Query.all_query(), 100_000).hits:
                yield name, str(searcher.doc(address).to_dict())


def _cells(frame: pl.DataFrame) -> Iterator[str]:
    for name, kind in frame.schema.items():
        if kind == pl.List(pl.String):
            yield from frame[name].list.join("").drop_nulls()
            yield from frame[name].list.join(" ").drop_nulls()
        elif name == "token":
            yield from frame.select(pl.col("token").str.join(""), other=pl.col("token").str.join(" ")).row(0)
        elif kind == pl.String:
            yield from frame[name].drop_nulls()
        elif kind == pl.Binary:
            yield from (value.decode("utf-8", "replace") for value in frame[name].drop_nulls())
