"""The ledger: every label, its examples, scores and reviews, in an append-only SQLite file.

Rows are inserted, never changed: the same id twice is the first row (`insert or ignore`), and triggers refuse updates
and deletions. WAL lets readers read while one writer writes; what is committed survives a killed process.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from sae.errors import AtlasError
from sae.labels.schema import LABEL_EXAMPLES, LABEL_RENEWALS, LABEL_REVIEWS, LABEL_SCORES, LABELS

_TABLES: dict[str, tuple[pl.Schema, tuple[str, ...]]] = {
    "labels": (LABELS, ("label_id",)),
    "label_examples": (LABEL_EXAMPLES, ("label_id", "example_id")),
    "label_scores": (LABEL_SCORES, ("label_id", "scorer", "model", "seed")),
    "label_reviews": (LABEL_REVIEWS, ("review_id",)),
    "label_renewals": (LABEL_RENEWALS, ("label_id", "renewal")),
}
"""Columns and identity of each table."""
_WAIT_SECONDS = 30.0


class Ledger:
    """One open ledger file. Use it as a context manager, in one thread."""

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._connection = sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None)
        try:
            self._connection.execute("pragma journal_mode = wal")
            self._connection.execute("pragma synchronous = full")
            self._connection.executescript(f"begin; {''.join(_statements())} commit;")
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise AtlasError(
                f"{path} is no ledger ({error}). Put the right file there, or move this one away."
            ) from error

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def append(
        self,
        labels: pl.DataFrame | None = None,
        label_examples: pl.DataFrame | None = None,
        label_scores: pl.DataFrame | None = None,
        label_reviews: pl.DataFrame | None = None,
        label_renewals: pl.DataFrame | None = None,
    ) -> int:
        """Add rows, all or none; those whose id is there already are left as they were. The number of rows added.

        Raises AtlasError where a frame lacks a column or the file cannot be written.
        """
        frames = {
            "labels": labels,
            "label_examples": label_examples,
            "label_scores": label_scores,
            "label_reviews": label_reviews,
            "label_renewals": label_renewals,
        }
        before = self._connection.total_changes
        try:
            self._connection.execute("begin immediate")
            for table, frame in frames.items():
                if frame is not None:
                    self._insert(table, frame)
            self._connection.execute("commit")
        except BaseException as error:
            if self._connection.in_transaction:
                self._connection.execute("rollback")
            if isinstance(error, sqlite3.Error):
                raise AtlasError(f"The ledger {self._path} cannot be written: {error}.") from error
            raise
        return self._connection.total_changes - before

    def labels(self, dictionary_ids: Iterable[str]) -> pl.DataFrame:
        """All labels of some dictionaries, the oldest first within a feature."""
        return self._read("labels", dictionary_ids, 'order by dictionary_id, "index", created_at, label_id')

    def label_examples(self, dictionary_ids: Iterable[str]) -> pl.DataFrame:
        """Which examples their labels were shown, and which were held out."""
        return self._read("label_examples", dictionary_ids, "order by label_id, example_id")

    def label_scores(self, dictionary_ids: Iterable[str]) -> pl.DataFrame:
        """Scores of their labels."""
        return self._read("label_scores", dictionary_ids, "order by label_id, scorer, model, seed")

    def label_reviews(self, dictionary_ids: Iterable[str]) -> pl.DataFrame:
        """Reviews of their labels."""
        return self._read("label_reviews", dictionary_ids, "order by label_id, created_at, review_id")

    def label_renewals(self, dictionary_ids: Iterable[str]) -> pl.DataFrame:
        """Which of their labels were given again, and when."""
        return self._read("label_renewals", dictionary_ids, "order by label_id, renewal")

    def labels_named(self, prefix: str, limit: int = 5) -> pl.DataFrame:
        """Labels of any dictionary whose id begins so, a few at most."""
        where = "where substr(label_id, 1, length(?1)) = ?1 order by label_id limit ?2"
        return self._select("labels", where, [prefix, limit])

    def labels_of(self, feature_id: str) -> pl.DataFrame:
        """All labels of one feature, the oldest first."""
        at = feature_id.rpartition(":")
        where = 'where dictionary_id = ? and "index" = ? order by created_at, label_id'
        return self._select("labels", where, [at[0], int(at[2])])

    def reviews_of(self, feature_id: str) -> pl.DataFrame:
        """Reviews of one feature's labels, the oldest first."""
        ids = self.labels_of(feature_id)["label_id"].to_list()
        where = f"where label_id in ({', '.join('?' * len(ids))}) order by created_at, review_id"
        return self._select("label_reviews", where, ids)

    def renewals_of(self, feature_id: str) -> pl.DataFrame:
        """Renewals of one feature's labels."""
        ids = self.labels_of(feature_id)["label_id"].to_list()
        where = f"where label_id in ({', '.join('?' * len(ids))}) order by label_id, renewal"
        return self._select("label_renewals", where, ids)

    def review_ids(self) -> list[str]:
        """Ids of all reviews, in order: what is known when nothing was reviewed since."""
        return [row[0] for row in self._connection.execute("select review_id from label_reviews order by review_id")]

    def label_ids(self, status: str) -> set[str]:
        """Ids of all labels with a status."""
        return {row[0] for row in self._connection.execute("select label_id from labels where status = ?", (status,))}

    def _insert(self, table: str, frame: pl.DataFrame) -> None:
        schema = _TABLES[table][0]
        if missing := [name for name in schema if name not in frame.columns]:
            raise AtlasError(f"Rows for {table} lack {', '.join(missing)}.")
        times = [name for name, kind in schema.items() if kind == pl.Datetime("us", "UTC")]
        rows = frame.select(*schema).cast(dict(schema))  # type: ignore[arg-type]
        rows = rows.with_columns(pl.col(times).dt.to_string("%Y-%m-%dT%H:%M:%S%.6fZ"))
        marks = ", ".join("?" * len(schema))
        self._connection.executemany(f"insert or ignore into {table} values ({marks})", rows.iter_rows())

    def _read(self, table: str, dictionary_ids: Iterable[str], order: str) -> pl.DataFrame:
        ids = sorted(set(dictionary_ids))
        wanted = f"select label_id from labels where dictionary_id in ({', '.join('?' * len(ids))})"
        return self._select(table, f"where label_id in ({wanted}) {order}", ids)

    def _select(self, table: str, where: str, parameters: Sequence[str | int]) -> pl.DataFrame:
        schema = _TABLES[table][0]
        rows = self._connection.execute(f"select * from {table} {where}", parameters).fetchall()
        times = [name for name, kind in schema.items() if kind == pl.Datetime("us", "UTC")]
        text = {name: pl.String if name in times else kind for name, kind in schema.items()}
        frame = pl.DataFrame(rows, schema=text, orient="row")
        return frame.with_columns(
            pl.col(times).str.to_datetime("%Y-%m-%dT%H:%M:%S%.6fZ", time_unit="us", time_zone="UTC")
        )


def utc_now() -> datetime:
    """The time for `created_at`."""
    return datetime.now(UTC)


def _statements() -> Iterable[str]:
    for table, (schema, key) in _TABLES.items():
        columns = ", ".join(f'"{name}" {_type(kind)}' for name, kind in schema.items())
        yield f"create table if not exists {table} ({columns}, primary key ({', '.join(key)})) strict;\n"
        for change in ("update", "delete"):
            yield (
                f"create trigger if not exists {table}_no_{change} before {change} on {table} "
                f"begin select raise(abort, 'the ledger is append-only'); end;\n"
            )
    yield 'create index if not exists labels_by_dictionary on labels (dictionary_id, "index");\n'


def _type(kind: pl.DataType) -> str:
    return "integer" if kind.is_integer() else "real" if kind.is_float() else "text"
