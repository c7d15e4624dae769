"""Rows about concepts, of which each has several: one a slice."""

from collections.abc import Sequence
from typing import Any


def named_once(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with `concept`: a concept's name and kind, which stand once, above its slices."""
    named = []
    before = None
    for row in rows:
        named.append({**row, "concept": "" if row["name"] == before else f"{row['name']} ({row['kind']})"})
        before = row["name"]
    return named
