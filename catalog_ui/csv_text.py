"""Results of queries as CSV."""

import json

import polars as pl


def to_csv(frame: pl.DataFrame) -> str:
    """CSV of a result; lists, structs and maps become JSON texts, bytes their hexadecimal digits."""
    texts = []
    for name, dtype in frame.schema.items():
        column = pl.col(name)
        if dtype.is_nested():
            values = [None if v is None else _json(v) for v in frame[name].to_list()]
            texts.append(pl.Series(name, values, dtype=pl.String))
        elif dtype == pl.Binary:
            texts.append(column.bin.encode("hex"))
    return frame.with_columns(texts).write_csv()


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
