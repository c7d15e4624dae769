"""The SQL guard: one statement that only reads passes, everything else is refused before it reaches the catalog."""

import json
import re
from collections.abc import Iterator
from typing import Any

import duckdb

from sae.errors import AtlasError

_WRITING = re.compile(r"^(INSERT|UPDATE|DELETE|MERGE)\w*_NODE$")
_READS_FILES = re.compile(r"^(read_\w+|\w+_scan|glob|sniff_\w+|parquet_\w+|getenv|query|query_table|json_execute_\w+)$")


def guard(parser: duckdb.DuckDBPyConnection, sql: str) -> str:
    """The statement in `sql`, where it is a single one that only reads: SELECT, WITH, VALUES, FROM, DESCRIBE, SHOW…

    DuckDB's own parser decides, so that comments and quoting cannot hide a second statement; of the connection nothing
    else is used. Raises AtlasError on several statements, on any that writes or changes settings, and on functions that
    read files or run SQL from text.
    """
    try:
        text = sql.encode()
        statements = parser.extract_statements(sql)
    except UnicodeEncodeError as error:
        raise AtlasError("The statement is not valid Unicode.") from error
    except duckdb.Error as error:
        raise AtlasError(one_line(error)) from error
    if len(statements) != 1:
        raise AtlasError(f"Give one SQL statement; there are {len(statements)}.")
    statement = statements[0]
    if statement.type == duckdb.StatementType.MULTI:
        raise AtlasError("PIVOT needs its values here: PIVOT … ON column IN (value, …).")
    if statement.type != duckdb.StatementType.SELECT:
        raise AtlasError(f"Only reading is allowed (SELECT, WITH, DESCRIBE, SHOW); this is {statement.type.name}.")
    ((serialised,),) = parser.execute("SELECT json_serialize_sql(?)", [statement.query]).fetchall()
    tree = json.loads(serialised)
    if tree.get("error"):
        raise AtlasError(f"This statement cannot be checked: {tree.get('error_message', 'unknown form')}")
    for node in _nodes(tree):
        _refuse(node)
    return _without_semicolons(text)


def one_line(error: Exception) -> str:
    """DuckDB's message without its picture of the query."""
    return " ".join(str(error).split("\n\nLINE ")[0].split())


def _without_semicolons(text: bytes) -> str:
    """A single statement without the semicolons around it, so that it can stand inside another."""
    pieces, has_words, start = [], False, 0
    tokens = [*duckdb.tokenize(text.decode()), (len(text), duckdb.token_type.operator)]
    for offset, kind in tokens:
        if offset == len(text) or text[offset : offset + 1] == b";":
            if has_words:
                pieces.append(text[start:offset].decode())
            start, has_words = offset + 1, False
        elif kind != duckdb.token_type.comment:
            has_words = True
    return pieces[0]


def _refuse(node: dict[str, Any]) -> None:
    if _WRITING.match(str(node.get("type", ""))):
        raise AtlasError(f"Only reading is allowed; this statement holds {str(node['type']).split('_')[0]}.")
    function = str(node.get("function_name", "")).lower()
    if _READS_FILES.match(function):
        raise AtlasError(f"{function}() is not allowed: it reads files or runs SQL from text.")


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """All objects in a JSON tree, without recursion: a query may nest deeply."""
    waiting = [tree]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
