"""What a table of the catalog is: columns with DuckDB types, allowed values and comments; and the DDL made from it."""

from dataclasses import dataclass
from typing import Literal

Type = Literal[
    "VARCHAR",
    "INTEGER",
    "BIGINT",
    "FLOAT",
    "DOUBLE",
    "BOOLEAN",
    "TIMESTAMP",
    "JSON",
    "VARCHAR[]",
    "FLOAT[]",
    "MAP(VARCHAR, DOUBLE)",
]


@dataclass(frozen=True)
class Column:
    """One column."""

    name: str
    type: Type
    comment: str
    """What it holds, with its unit where it has one; shown to SQL users."""
    nullable: bool = False
    values: tuple[str, ...] = ()
    """The only values allowed, where there are few."""
    volatile: bool = False
    """Run ids, times and cost: left out of content ids."""


@dataclass(frozen=True)
class Table:
    """One table. Rows are sorted by `sort`, which for tables about features starts with dictionary_id and index."""

    name: str
    comment: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    """Columns whose values together are unique."""
    sort: tuple[str, ...] = ()
    """Columns that rows are sorted by; the key where empty."""
    parquet: bool = False
    """Held as immutable Parquet, one file a dictionary, that the catalog refers to."""
    volatile: bool = False
    """Left out of the catalog's content id as a whole."""

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names in order."""
        return tuple(column.name for column in self.columns)

    @property
    def order(self) -> tuple[str, ...]:
        """Columns that rows are sorted by."""
        return self.sort or self.key

    def column(self, name: str) -> Column:
        """A column by name. Raises KeyError where there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


@dataclass(frozen=True)
class View:
    """A view over the tables, with a comment on each of its columns."""

    name: str
    comment: str
    columns: tuple[Column, ...]
    sql: str
    """The SELECT behind it."""


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def create_table_sql(table: Table) -> str:
    """CREATE TABLE with the NOT NULLs. Keys are checked on the finished candidate, which costs no index."""
    columns = ", ".join(f"{quoted(c.name)} {c.type}{'' if c.nullable else ' NOT NULL'}" for c in table.columns)
    return f"CREATE TABLE {quoted(table.name)} ({columns})"


def create_view_sql(view: View) -> str:
    """CREATE VIEW."""
    return f"CREATE VIEW {quoted(view.name)} AS {view.sql}"


def comment_sql(relation: Table | View, kind: Literal["TABLE", "VIEW"]) -> list[str]:
    """COMMENT ON statements for a relation and its columns."""
    statements = [f"COMMENT ON {kind} {quoted(relation.name)} IS {literal(relation.comment)}"]
    for column in relation.columns:
        name = f"{quoted(relation.name)}.{quoted(column.name)}"
        statements.append(f"COMMENT ON COLUMN {name} IS {literal(column.comment)}")
    return statements


def feature_columns() -> tuple[Column, Column, Column]:
    """The three columns by which every table about features names its feature."""
    return (
        Column("feature_id", "VARCHAR", "The feature, `<dictionary_id>:<index>`."),
        Column("dictionary_id", "VARCHAR", "The dictionary (see dictionaries)."),
        Column("index", "INTEGER", "Row of the feature in its dictionary's decoder, from 0."),
    )


def run_id_column() -> Column:
    """The run that made the row."""
    return Column("run_id", "VARCHAR", "The run that made this row (see runs).", nullable=True, volatile=True)


def time_column(name: str, comment: str, nullable: bool = False) -> Column:
    """A moment in UTC."""
    return Column(name, "TIMESTAMP", f"{comment}, UTC.", nullable=nullable, volatile=True)
