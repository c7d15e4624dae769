"""Rows as people read them on a terminal. Labels and tokens are untrusted: they become no markup and no escape code."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
WIDTH = 160


def print_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], as_json: bool) -> None:
    """Print some columns of rows as a table, or the whole rows as JSON."""
    if as_json:
        print(json.dumps(list(rows), indent=1, ensure_ascii=False, default=str))
        return
    table = Table(box=None, pad_edge=False)
    for column in columns:
        numbers = bool(rows) and isinstance(rows[0][column], int | float)
        table.add_column(column.replace("_", " "), justify="right" if numbers else "left")
    for row in rows:
        table.add_row(*(cell(row[column]) for column in columns))
    Console(width=WIDTH, soft_wrap=True).print(table)


def plain(text: str) -> str:
    """Text of several lines without other control characters, which could move the cursor or title the terminal."""
    return "\n".join(_CONTROL.sub(" ", line) for line in text.split("\n"))


def cell(value: Any) -> Text:
    """A value as plain text: three decimals, nothing for null, control characters as spaces."""
    if value is None:
        return Text("")
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return Text(_CONTROL.sub(" ", text))
