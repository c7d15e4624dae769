"""Reserving and settling for many requests at once: what is due at the same moment shares one commit."""

import asyncio
from datetime import datetime
from typing import Any

from sae.labels.question import BudgetSpentError
from sae.labels.request_ledger import Ended, Request, RequestLedger


class Cashier:
    """The only writer of a ledger's requests, in one event loop.

    A commit waits for the disk; while one is under way, whatever comes is gathered for the next. Reservations are
    granted in the order in which they were asked for: one that the budget does not hold makes those behind it wait
    until the requests in flight have settled, and only if it does not fit then is it refused.
    """

    def __init__(self, ledger: RequestLedger, run_id: str):
        self._ledger, self._run_id = ledger, run_id
        self._ended: list[tuple[int, Ended, asyncio.Future[datetime]]] = []
        self._wanted: list[tuple[Request, asyncio.Future[int]]] = []
        self._in_flight = 0
        self._writing: asyncio.Task[None] | None = None

    async def reserve(self, request: Request) -> int:
        """Set a request's worst cost aside; its id. Raises BudgetSpentError where the budget does not hold it."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._wanted.append((request, future))
        self._begin()
        return await future

    async def settle(self, request_id: int, ended: Ended) -> datetime:
        """Record how a request ended; the time of the record."""
        future: asyncio.Future[datetime] = asyncio.get_running_loop().create_future()
        self._ended.append((request_id, ended, future))
        self._begin()
        return await future

    async def close(self) -> None:
        """Wait for the commit under way."""
        if self._writing:
            await self._writing

    def _begin(self) -> None:
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        waiting = 0
        while self._ended or len(self._wanted) > waiting:
            ended, wanted = self._ended, list(self._wanted)
            self._ended = []
            try:
                at, ids = await asyncio.to_thread(
                    self._ledger.write,
                    [(request_id, end) for request_id, end, _ in ended],
                    [request for request, _ in wanted],
                    self._run_id,
                )
            except Exception as error:
                self._wanted = self._wanted[len(wanted) :]
                _fail([future for *_, future in [*ended, *wanted]], error)
                continue
            self._in_flight += len(ids) - len(ended)
            for *_, future in ended:
                _give(future, at)
            for (_, future), request_id in zip(wanted, ids, strict=False):
                _give(future, request_id)
            self._wanted = self._wanted[len(ids) :]
            waiting = len(wanted) - len(ids)
            if waiting and self._in_flight == 0 and not self._ended:
                request, future = self._wanted.pop(0)
                _fail([future], self._refusal(request))
                waiting = 0

    def _refusal(self, request: Request) -> BudgetSpentError:
        return BudgetSpentError(
            f"${self._ledger.spent():.4f} of ${self._ledger.budget_usd:.2f} are spent, and the next request may cost "
            f"${request.reserved_usd:.4f}. Raise `labeler.budget_usd` to go on."
        )


def _give(future: asyncio.Future[Any], value: object) -> None:
    if not future.done():
        future.set_result(value)


def _fail(futures: list[asyncio.Future[Any]], error: Exception) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(error)
