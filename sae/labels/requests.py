"""Asking a language model, with money accounted for: the one way from here to an OpenAI-compatible server.

    settings = ModelSettings(model="…", base_url="http://127.0.0.1:8000/v1", price=Price(0.15, 0.60))
    question = Question(messages, seed=0, purpose="detection", key=label_id, read=parse, schema={…})
    replies = ask_all(settings, ledger_path, budget_usd, run_id, questions, on_reply)    # in the order of the questions
    async with Asker(settings, ledger_path, budget_usd, run_id) as asker:                # or one by one, concurrently
        reply = await asker.ask(question)

What holds, whatever happens:
- *Reserved before it is paid.* Before each send a row with the most that it can cost (a bound on the prompt's tokens,
  `max_output_tokens`) is committed to the ledger; afterwards a row with what it did cost (`request_ledger.py`).
- *A hard budget.* `budget_usd` is all that the ledger file may ever spend, whoever asks and whatever for. A request
  whose worst cost does not fit waits for those in flight to settle; if it still does not fit, `ask` raises
  BudgetSpentError (`ask_all` gives None for it). It holds as long as the server keeps to `max_output_tokens` and to
  `image_tokens`.
- *Never paid for twice.* A reply that once came to the same server, model, settings, seed and messages is used again,
  bad ones too: to ask anew, change the seed. Equal questions in flight are sent once.
- *Faults.* 429 (its Retry-After pauses everybody), 408, 5xx, timeouts, broken connections and answers that are no
  completion are sent again, `retries` times at most, each send with rows of its own. Then the reply is `failed`.
- *Bad replies* come back with their status (refused, empty, truncated, malformed) and are not asked again here.
- *A killed process* loses the requests in flight at most; they count as paid in full, and so do those reserved to
  follow them (as many again at most).
- *Schema.* With `structured: auto` the schema goes along until the server answers 400 or 422 to it and takes the same
  request without: from then on it is left out. The same reply counts as cached either way; `read` checks all.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from sae.labels.backoff import LONGEST_ASKED_WAIT_S, asked_wait, is_passing, wait_before
from sae.labels.cashier import Cashier
from sae.labels.chat import Answer, HopelessError, open_client, question_body, send_once
from sae.labels.question import BudgetSpentError, ModelSettings, Question, Reply, Status, question_request
from sae.labels.request_ledger import Account, Ended, Request, RequestLedger

T = TypeVar("T")


class Asker:
    """Asks one model, `concurrency` requests on the wire at a time: an async context manager, for one event loop."""

    def __init__(self, settings: ModelSettings, ledger_path: Path, budget_usd: float, run_id: str):
        self.settings = settings
        self._ledger = RequestLedger(ledger_path, budget_usd)
        self._cashier = Cashier(self._ledger, run_id)
        self._client = open_client(settings.base_url, settings.concurrency)
        self._schema_works = settings.structured != "none"
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._paused_until = 0.0
        self._flights: dict[str, asyncio.Future[None]] = {}
        self._hopeless: HopelessError | None = None
        self._jitter = random.Random(run_id)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()
        await self._cashier.close()
        self._ledger.close()

    def spent(self) -> float:
        """US dollars of the whole ledger, paid or possibly paid."""
        return self._ledger.spent()

    @property
    def at_once(self) -> int:
        """How many questions to ask at a time: twice the requests on the wire, so that none waits for the disk."""
        return 2 * self.settings.concurrency

    async def ask(self, question: Question[T]) -> Reply[T]:
        """Ask, or find the reply in the ledger.

        Raises BudgetSpentError where the budget does not hold it, HopelessError where the server will answer nobody.
        """
        request = question_request(self.settings, question, self.settings.price, send=1)
        sha256 = request.request_sha256
        while flight := self._flights.get(sha256):
            await flight
        account = self._ledger.account(sha256)
        if account and (known := self._ledger.known(sha256)):
            return _reply(question, sha256, known.request_id, known.ended, known.created_at, account, cached=True)
        self._flights[sha256] = flight = asyncio.get_running_loop().create_future()
        try:
            return await self._ask(question, request, account or Account(question.purpose, question.key, 0.0))
        finally:
            del self._flights[sha256]
            flight.set_result(None)

    async def _ask(self, question: Question[T], request: Request, account: Account) -> Reply[T]:
        structured = self._schema_works and question.schema is not None
        send = 1
        while True:
            if self._hopeless:
                raise self._hopeless
            request_id = await self._cashier.reserve(request._replace(send=send))
            answer, at = await self._send(question, request_id, structured)
            cost = answer.ended.cost_usd
            account = account._replace(usd=account.usd + (request.reserved_usd if cost is None else cost))
            if answer.ended.status != "failed":
                # Here a schema was refused, and the request taken without it.
                self._schema_works = self._schema_works and (structured or question.schema is None)
            elif structured and self.settings.structured == "auto" and answer.ended.http_status in (400, 422):
                structured = False
                continue
            elif self._again(answer, send):
                if answer.ended.http_status != 429:
                    await asyncio.sleep(wait_before(send + 1, self._jitter))
                send += 1
                continue
            return _reply(question, request.request_sha256, request_id, answer.ended, at, account, cached=False)

    def _again(self, answer: Answer, send: int) -> bool:
        """Whether a failed request is sent once more; a server that is busy makes everybody wait."""
        status = answer.ended.http_status
        # 200: an answer came, but no completion; a proxy's page, or a body that was cut off.
        if send > self.settings.retries or not (status == 200 or is_passing(status)):
            return False
        asked = asked_wait(answer.retry_after)
        if asked is not None and asked > LONGEST_ASKED_WAIT_S:
            return False
        if status == 429 or asked is not None:
            wait = wait_before(send + 1, self._jitter) if asked is None else asked
            self._paused_until = max(self._paused_until, asyncio.get_running_loop().time() + wait)
        return True

    async def _send(self, question: Question[T], request_id: int, structured: bool) -> tuple[Answer, datetime]:
        body = question_body(self.settings, question, structured)
        try:
            # A slot is a request on the wire: while rows are committed, others use it.
            async with self._slots:
                answer = await self._send_in_turn(body, question)
        except HopelessError as error:
            self._hopeless = error
            await self._cashier.settle(request_id, Ended("failed", error=str(error), cost_usd=0.0))
            raise
        return answer, await self._cashier.settle(request_id, answer.ended)

    async def _send_in_turn(self, body: dict[str, Any], question: Question[Any]) -> Answer:
        now = asyncio.get_running_loop().time
        while (left := self._paused_until - now()) > 0:
            # Not all at the same moment, or the server is as busy as before.
            await asyncio.sleep(left * self._jitter.uniform(1.0, 1.25))
        if self._hopeless:
            raise self._hopeless
        settings = self.settings
        return await send_once(
            self._client, body, timeout_s=settings.timeout_s, price=settings.price, read=question.read
        )


def ask_all(
    settings: ModelSettings,
    ledger_path: Path,
    budget_usd: float,
    run_id: str,
    questions: Iterable[Question[T]],
    on_reply: Callable[[Question[T], Reply[T] | None], None] = lambda question, reply: None,
) -> list[Reply[T] | None]:
    """Ask many questions, `concurrency` at a time: their replies in order, None where the budget was spent.

    :param on_reply: called as each one ends
    Raises HopelessError where the server will answer nobody; replies that came before are in the ledger.
    """

    async def work() -> list[Reply[T] | None]:
        replies: dict[int, Reply[T] | None] = {}

        async def one(asker: Asker, at: int, question: Question[T]) -> None:
            try:
                replies[at] = await asker.ask(question)
            except BudgetSpentError:
                replies[at] = None
            on_reply(question, replies[at])

        async with Asker(settings, ledger_path, budget_usd, run_id) as asker:
            await each(enumerate(questions), asker.at_once, lambda item: one(asker, *item))
        return [replies[at] for at in sorted(replies)]

    return asyncio.run(work())


async def each(items: Iterable[T], concurrency: int, work: Callable[[T], Awaitable[None]]) -> None:
    """Work on items in their order, `concurrency` at a time, drawing each only when it is due.

    After an error nothing new is begun, what is under way ends (it may be paid for already), and the error is raised.
    """
    left, done, errors, turn = iter(items), object(), list[BaseException](), asyncio.Lock()

    async def worker() -> None:
        while True:
            try:
                # Drawing may be work: one at a time, and what came over the wire goes first.
                async with turn:
                    await asyncio.sleep(0)
                    if errors or (item := next(left, done)) is done:
                        return
                await work(cast(T, item))
            except Exception as error:
                errors.append(error)

    await asyncio.gather(*(worker() for _ in range(concurrency)))
    if errors:
        raise errors[0]


def _reply(
    question: Question[T],
    sha256: str,
    request_id: int,
    ended: Ended,
    at: datetime,
    account: Account,
    *,
    cached: bool,
) -> Reply[T]:
    status, error, value = ended.status, ended.error, None
    if status in ("ok", "malformed"):
        # What stands in the ledger was judged by the reader of its day.
        try:
            status, error, value = "ok", None, question.read(ended.text or "")
        except ValueError as fault:
            status, error = "malformed", str(fault)
    own = (account.purpose, account.key) == (question.purpose, question.key)
    return Reply(
        status=cast(Status, status),
        value=value,
        text=ended.text,
        raw=ended.raw,
        error=error,
        request_id=request_id,
        request_sha256=sha256,
        input_tokens=ended.input_tokens,
        output_tokens=ended.output_tokens,
        cost_usd=account.usd if own else 0.0,
        paid_for=(account.purpose, account.key),
        cached=cached,
        created_at=at,
    )
