"""The ledger's book of requests: what was asked, what it may cost, what came back, and what it did cost.

Two rows for each request that is sent, in the same SQLite file as the labels: one in `requests`, reserved and committed
before anything is sent, with the most that it can cost; one in `request_replies` once it has ended, with what it did
cost. Rows are never changed. The spent sum counts, for each reserved row: its cost where that is known, otherwise
the whole reservation. So a request that was in flight when the process was killed, or whose connection broke after it
was sent, counts as paid in full: the sum may be too high, never too low.
"""

import math
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from sae.errors import AtlasError

_WAIT_SECONDS = 30.0
_SCHEMA = """
create table if not exists request_prompts (request_sha256 text primary key, body text not null) strict;
create table if not exists requests (
    request_id integer primary key, request_sha256 text not null, purpose text not null, key text not null,
    base_url text not null, model text not null, seed integer not null, send integer not null, batch text,
    reserved_usd real not null, run_id text not null, created_at text not null) strict;
create table if not exists request_replies (
    request_id integer primary key references requests, status text not null, http_status integer, text text,
    error text, raw text, input_tokens integer, output_tokens integer, cost_usd real, seconds real not null,
    created_at text not null) strict;
create table if not exists request_batches (
    batch text primary key, server_id text not null, created_at text not null) strict;
create index if not exists requests_by_sha256 on requests (request_sha256);
"""
_TABLES = ("request_prompts", "requests", "request_replies", "request_batches")
_SPENT = """
select coalesce(sum(coalesce(cost_usd, reserved_usd)), 0.0) from requests left join request_replies using (request_id)
"""


class Request(NamedTuple):
    """A request about to be sent."""

    request_sha256: str
    """SHA-256 of `body`: what makes two requests one."""
    body: str
    """Canonical JSON of server, model, messages and settings; pictures by their hash."""
    purpose: str
    key: str
    """What it is about, for example a feature's id."""
    base_url: str
    model: str
    seed: int
    send: int
    """How often this request has been sent, this time included."""
    reserved_usd: float
    """The most that it can cost."""


class Ended(NamedTuple):
    """How a sent request ended."""

    status: str
    """ok, refused, empty, truncated, malformed: a reply came; failed: none did."""
    http_status: int | None = None
    text: str | None = None
    """The message's text."""
    error: str | None = None
    raw: str | None = None
    """The body of the reply as it came."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    """What was paid; None where nobody knows, and then the reservation counts as paid."""
    seconds: float = 0.0


class Known(NamedTuple):
    """A reply that lies in the ledger."""

    request_id: int
    ended: Ended
    created_at: datetime


class Account(NamedTuple):
    """What one question cost so far."""

    purpose: str
    key: str
    """Whom it was asked for first."""
    usd: float
    """All its sends, paid or possibly paid."""


class OpenBatch(NamedTuple):
    """A batch that has not ended."""

    batch: str
    """Our own name for it."""
    server_id: str | None
    """The server's name; None where the process ended before it was known."""
    request_ids: set[int]
    """Those of its requests that have not ended."""


class Pace(NamedTuple):
    """Means of the last replies, those in batches left out."""

    seconds: float
    output_tokens: float


class RequestLedger:
    """The book of requests in one ledger file, with a hard budget over all that the file ever spent.

    One process writes at a time (the store's writer lock); what another connection wrote meanwhile is counted too.
    """

    def __init__(self, path: Path, budget_usd: float):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self.budget_usd = path, budget_usd
        # One connection writes, in whatever thread it is called; the other one reads meanwhile.
        self._connection, self._reader = (
            sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False)
            for _ in range(2)
        )
        try:
            self._connection.execute("pragma journal_mode = wal")
            self._connection.execute("pragma synchronous = full")
            self._connection.executescript(f"begin; {_SCHEMA} {''.join(_guards())} commit;")
        except sqlite3.DatabaseError as error:
            self.close()
            raise AtlasError(
                f"{path} is no ledger ({error}). Put the right file there, or move this one away."
            ) from error
        self._spent, self._seen = 0.0, -1
        self._count()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
        self._reader.close()

    def spent(self) -> float:
        """US dollars paid or possibly paid when last written, reservations of requests still in flight included."""
        return self._spent

    def write(
        self, ended: Sequence[tuple[int, Ended]], requests: Sequence[Request], run_id: str, batch: str | None = None
    ) -> tuple[datetime, list[int]]:
        """Settle requests that ended, then reserve others in their order until one does not fit: one commit for all.

        Returns the time and the ids of those that were reserved. A request that ended before keeps its first record.
        """
        with _Transaction(self._connection, self._path):
            self._count()
            now = datetime.now(UTC)
            spent = self._spent + sum(self._settle(request_id, end, now) for request_id, end in ended)
            ids: list[int] = []
            for request in requests:
                if spent + request.reserved_usd > self.budget_usd:
                    break
                ids.append(self._reserve(request, run_id, batch, now))
                spent += request.reserved_usd
        self._spent = spent
        return now, ids

    def _count(self) -> None:
        """Sum up again where another connection wrote since."""
        version = self._connection.execute("pragma data_version").fetchone()[0]
        if version != self._seen:
            self._spent, self._seen = self._connection.execute(_SPENT).fetchone()[0], version

    def _settle(self, request_id: int, end: Ended, now: datetime) -> float:
        """Record how a request ended; the change of the spent sum."""
        new = self._connection.execute(
            "insert or ignore into request_replies values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (request_id, *end, _text(now)),
        ).rowcount
        if not new or end.cost_usd is None:
            return 0.0
        reserved = "select reserved_usd from requests where request_id = ?"
        return end.cost_usd - self._connection.execute(reserved, (request_id,)).fetchone()[0]

    def _reserve(self, request: Request, run_id: str, batch: str | None, now: datetime) -> int:
        self._connection.execute(
            "insert or ignore into request_prompts values (?, ?)", (request.request_sha256, request.body)
        )
        values = (request.purpose, request.key, request.base_url, request.model, request.seed, request.send)
        return self._connection.execute(
            "insert into requests values (null, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) returning request_id",
            (request.request_sha256, *values, batch, request.reserved_usd, run_id, _text(now)),
        ).fetchone()[0]

    def known(self, request_sha256: str) -> Known | None:
        """The first reply that ever came to this request, whatever it said; None where none did."""
        row = self._reader.execute(
            "select request_id, status, http_status, text, error, raw, input_tokens, output_tokens, cost_usd, seconds, "
            "r.created_at from requests join request_replies r using (request_id) "
            "where request_sha256 = ? and status <> 'failed' order by request_id limit 1",
            (request_sha256,),
        ).fetchone()
        return Known(row[0], Ended(*row[1:-1]), datetime.fromisoformat(row[-1])) if row else None

    def account(self, request_sha256: str) -> Account | None:
        """What a question cost so far; None where it was never sent."""
        rows = self._reader.execute(
            "select purpose, key, coalesce(cost_usd, reserved_usd) from requests "
            "left join request_replies using (request_id) where request_sha256 = ? order by request_id",
            (request_sha256,),
        ).fetchall()
        return Account(rows[0][0], rows[0][1], math.fsum(row[2] for row in rows)) if rows else None

    def name_batch(self, batch: str, server_id: str) -> None:
        """Record the server's name for a batch."""
        with _Transaction(self._connection, self._path):
            values = (batch, server_id, _text(datetime.now(UTC)))
            self._connection.execute("insert or ignore into request_batches values (?, ?, ?)", values)

    def open_batches(self) -> list[OpenBatch]:
        """The batches with requests that have not ended, the oldest first."""
        rows = self._reader.execute(
            "select batch, server_id, group_concat(request_id) from requests left join request_batches using (batch) "
            "where batch is not null and request_id not in (select request_id from request_replies) "
            "group by batch order by min(request_id)"
        ).fetchall()
        return [OpenBatch(name, server_id, {int(at) for at in ids.split(",")}) for name, server_id, ids in rows]

    def under_way(self) -> set[str]:
        """The requests whose batches have not ended."""
        rows = self._reader.execute(
            "select request_sha256 from requests where batch is not null "
            "and request_id not in (select request_id from request_replies)"
        )
        return {row[0] for row in rows}

    def spent_by_run(self) -> dict[str, float]:
        """US dollars paid or possibly paid, by the run that asked."""
        return dict(
            self._reader.execute(
                "select run_id, sum(coalesce(cost_usd, reserved_usd)) from requests "
                "left join request_replies using (request_id) group by run_id"
            )
        )

    def pace(self) -> Pace | None:
        """How the last thousand replies came; None before the first."""
        recent = (
            "select * from request_replies where status <> 'failed' and seconds > 0 order by request_id desc limit 1000"
        )
        row = self._reader.execute(f"select avg(seconds), avg(output_tokens) from ({recent})").fetchone()
        return None if None in row else Pace(*row)


class _Transaction:
    """Commit at the end of the block, roll back on any error."""

    def __init__(self, connection: sqlite3.Connection, path: Path):
        self._connection, self._path = connection, path

    def __enter__(self) -> None:
        try:
            self._connection.execute("begin immediate")
        except sqlite3.Error as error:
            raise AtlasError(f"The ledger {self._path} cannot be written: {error}.") from error

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            self._connection.execute("commit")
            return
        if self._connection.in_transaction:
            self._connection.execute("rollback")
        if isinstance(error, sqlite3.Error):
            raise AtlasError(f"The ledger {self._path} cannot be written: {error}.") from error


def _guards() -> Iterable[str]:
    for table in _TABLES:
        for change in ("update", "delete"):
            yield (
                f"create trigger if not exists {table}_no_{change} before {change} on {table} "
                f"begin select raise(abort, 'the ledger is append-only'); end;\n"
            )


def _text(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
