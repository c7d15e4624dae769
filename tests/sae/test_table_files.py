"""A Parquet file is read by its path, not by what else the path could mean."""

from pathlib import Path

import polars as pl

from sae.table_files import read_table, read_table_schema


def test_a_path_is_no_pattern(tmp_path: Path):
    for folder, column in (("atlas [x]", "own"), ("atlas x", "other")):
        (tmp_path / folder).mkdir()
        pl.DataFrame({column: [1], "more": ["a"]}).write_parquet(tmp_path / folder / "a.parquet")
    path = tmp_path / "atlas [x]" / "a.parquet"

    assert read_table(path).columns == ["own", "more"]
    assert read_table(path, columns=["more"]).rows() == [("a",)]
    assert read_table_schema(path) == {"own": pl.Int64, "more": pl.String}
