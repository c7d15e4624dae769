"""Taking a document's text out of the ledger: the one thing that changes rows which are otherwise kept for ever.

A row that shows the text stays, with its ids, hashes, tokens and cost, and loses its words. Which rows those are
follows from the examples' ids, which are hashes of feature, document and window: every id that an example of the
document can have is made and looked for, so that no table of examples is needed. Rows that hold the text itself are
found too.
"""

import html
import json
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sae.errors import AtlasError
from sae.features.example_sampler import ExampleSizes
from sae.identity import content_id, feature_id
from sae.labels.quoting import quoted

FORGOTTEN = "(forgotten)"
"""What stands in the place of words that a person wrote and that were taken out."""
SHORTEST = 16
"""Letters of a text from which on it is looked for as such: shorter ones stand in many rows by chance."""
_COLUMNS = {
    "labels": ("label_id", ("label", "explanation", "prompt", "raw_reply")),
    "request_prompts": ("request_sha256", ("body",)),
    "request_replies": ("request_id", ("text", "error", "raw")),
    "label_reviews": ("review_id", ("proposed_label", "note")),
    "label_scores": ("label_id", ("details",)),
}
"""Of each table its key and the columns that can hold words of a document."""
_LABELS = "label = '', explanation = '', prompt = null, raw_reply = null, status = 'forgotten'"
_CHANGES = {
    "labels": _LABELS,
    "request_prompts": "body = '{\"forgotten\":true}'",
    # A reply without its words is none: should the same question ever come again, it is asked again.
    "request_replies": "text = null, raw = null, error = 'forgotten', status = 'failed'",
    "label_reviews": f"note = '{FORGOTTEN}', proposed_label = case when proposed_label is null then null "
    f"else '{FORGOTTEN}' end",
    "label_scores": "details = null",
}


@dataclass(frozen=True)
class Wanted:
    """The document that is looked for."""

    document_ids: Collection[str]
    """Its ids; equal texts of two corpora have two."""
    lengths: Collection[int]
    """How many tokens it has for each model that read it."""
    text: str


class Row(NamedTuple):
    """A row of the ledger."""

    table: str
    key: str | int


def rows_holding(path: Path, wanted: Wanted) -> list[Row]:
    """The rows that show words of a document: labels written from it, what was asked and answered, reviews of it.

    Rows that were taken over from such a label count too. Raises AtlasError where the file is no ledger.
    """
    if not path.is_file():
        return []
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return list(dict.fromkeys(_rows(connection, wanted)))
    except sqlite3.Error as error:
        raise AtlasError(f"The ledger {path} cannot be read: {error}.") from error


def redact(path: Path, rows: Collection[Row]) -> None:
    """Take the words out of some rows, all or none, and leave nothing of them in the file's free pages.

    Only the holder of the writer's lock may call this. Raises AtlasError where the file cannot be written.
    """
    if not rows:
        return
    try:
        with closing(sqlite3.connect(path, timeout=30.0, isolation_level=None)) as connection:
            connection.execute("pragma secure_delete = on")
            connection.execute("begin immediate")
            guards = connection.execute(
                "select name, sql from sqlite_master where type = 'trigger' and name like '%\\_no\\_update' escape '\\'"
            ).fetchall()
            for name, _ in guards:
                connection.execute(f'drop trigger "{name}"')
            for table, change in _CHANGES.items():
                keys = [(row.key,) for row in rows if row.table == table]
                connection.executemany(f"update {table} set {change} where {_COLUMNS[table][0]} = ?", keys)
            for _, statement in guards:
                connection.execute(statement)
            connection.execute("commit")
            connection.execute("vacuum")
            connection.execute("pragma wal_checkpoint(truncate)")
    except sqlite3.Error as error:
        raise AtlasError(f"The ledger {path} cannot be written: {error}. Close what has it open.") from error


def _rows(connection: sqlite3.Connection, wanted: Wanted) -> Iterator[Row]:
    tables = {row[0] for row in connection.execute("select name from sqlite_master where type = 'table'")}
    if "labels" not in tables:
        return
    connection.execute("create temp table of_document (example_id text primary key)")
    connection.executemany("insert or ignore into of_document values (?)", _example_ids(connection, wanted))
    uses = connection.execute(
        "select label_id, use, feature_id from label_examples join of_document using (example_id) "
        "join labels using (label_id) where status <> 'forgotten'"
    ).fetchall()
    shown = {label for label, use, _ in uses if use == "shown"}
    yield from (Row("labels", label) for label in sorted(_with_descendants(connection, shown)))
    if "requests" in tables:
        about = {label for label, _, _ in uses} | {feature for _, _, feature in uses}
        yield from _requests(connection, about)
    yield from (row for row in _saying(connection, tables, wanted.text))


def _example_ids(connection: sqlite3.Connection, wanted: Wanted) -> Iterator[tuple[str]]:
    radius = ExampleSizes().radius
    for dictionary, index in connection.execute('select distinct dictionary_id, "index" from labels').fetchall():
        feature = feature_id(dictionary, index)
        for document in wanted.document_ids:
            for length in wanted.lengths:
                for at in range(length):
                    window = (max(0, at - radius), min(length - 1, at + radius))
                    yield (content_id([feature, document, at, *window]),)


def _with_descendants(connection: sqlite3.Connection, labels: set[str]) -> set[str]:
    """Labels, and those that were taken over from them."""
    found, new = set(labels), set(labels)
    heirs = connection.execute("select label_id, parent_label_id from labels where origin = 'carried'").fetchall()
    while new:
        new = {label for label, parent in heirs if parent in new} - found
        found |= new
    return found


def _requests(connection: sqlite3.Connection, about: set[str]) -> Iterator[Row]:
    """What was asked about some features and labels, and what came back."""
    for sha256, request, key in connection.execute(
        "select request_sha256, request_id, key from requests join request_prompts using (request_sha256) "
        "where body <> ?",
        ('{"forgotten":true}',),
    ).fetchall():
        if key in about:
            yield Row("request_prompts", sha256)
            yield Row("request_replies", request)


def _saying(connection: sqlite3.Connection, tables: set[str], text: str) -> Iterator[Row]:
    """Rows that hold the text itself, as it is or as JSON and markup write it."""
    if len(text.strip()) < SHORTEST:
        return
    written = {text, quoted(text), html.escape(text)}
    written |= {json.dumps(way, ensure_ascii=escaped)[1:-1] for way in tuple(written) for escaped in (False, True)}
    for table, (key, columns) in _COLUMNS.items():
        if table in tables:
            marks = [f"?{number}" for number in range(1, len(written) + 1)]
            holds = " or ".join(f"instr({column}, {mark})" for column in columns for mark in marks)
            query = f"select {key} from {table} where {holds}"
            yield from (Row(table, row[0]) for row in connection.execute(query, sorted(written)))
