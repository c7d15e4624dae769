"""The reference of the catalog's tables as Markdown: `python -m sae.catalog.reference > docs/tables.md`."""

from sae.catalog.schema import SCHEMA_VERSION, TABLES, VIEWS
from sae.catalog.table import Column, Table, View
from sae.markdown import table_cell

_PREFACE = """\
# The catalog's tables

Schema version {version}. `atlas sql "…"` and the SQL page read these tables; the same comments stand in the catalog
itself (`select table_name, column_name, comment from duckdb_columns()`). Times are UTC.
Tables marked *Parquet* are held as one file a dictionary and read through a view of the same name.
This page is made from `sae/catalog/schema.py`: `python -m sae.catalog.reference > docs/tables.md`.
"""


def reference() -> str:
    """Every table and view with its columns, types and comments, as one Markdown page."""
    relations: list[Table | View] = [*TABLES.values(), *VIEWS.values()]
    index = ["| Table | What a row is |", "|---|---|"]
    index += [f"| [{relation.name}](#{relation.name}) | {table_cell(relation.comment)} |" for relation in relations]
    parts = [_PREFACE.format(version=SCHEMA_VERSION), "\n".join(index), *map(_section, relations)]
    return "\n".join(f"{part.rstrip()}\n" for part in parts)


def _section(relation: Table | View) -> str:
    lines = [f"## {relation.name}", "", relation.comment, "", *_traits(relation)]
    lines += ["| Column | Type | Null | What it holds |", "|---|---|---|---|"]
    lines += [
        f"| `{column.name}` | {column.type} | {'yes' if column.nullable else ''} | {_comment(column)} |"
        for column in relation.columns
    ]
    return "\n".join(lines)


def _traits(relation: Table | View) -> list[str]:
    if isinstance(relation, View):
        return ["A view.", ""]
    key = ", ".join(f"`{name}`" for name in relation.key)
    order = ", ".join(f"`{name}`" for name in relation.order)
    held = " *Parquet.*" if relation.parquet else ""
    return [f"Key: {key}. Sorted by: {order}.{held}", ""]


def _comment(column: Column) -> str:
    allowed = f" One of: {', '.join(column.values)}." if column.values else ""
    return table_cell(column.comment + allowed)


if __name__ == "__main__":
    print(reference(), end="")
