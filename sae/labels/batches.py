"""Replies through the Batch API: half the price, hours instead of seconds, the same ledger.

What is asked is reserved first, then uploaded as a file, then made a batch that carries our own name for it in its
metadata; when it has ended, its lines settle the requests. A process that is killed on the way loses nothing: the next
one finds the requests that have not ended, asks the server for their batch by that name, and goes on waiting; a batch
that the server does not know was never made, and its requests cost nothing.
"""

import json
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import openai

from sae.errors import AtlasError
from sae.labels.backoff import LONGEST_ASKED_WAIT_S, asked_wait, is_passing, wait_before
from sae.labels.budget import Price
from sae.labels.chat import api_key, kept, question_body, raise_if_hopeless, read_completion
from sae.labels.question import ModelSettings, Question, question_request, server_address
from sae.labels.request_ledger import Ended, OpenBatch, Request, RequestLedger

T = TypeVar("T")
LARGEST_BATCH = 2_000
"""Requests in one batch: a file of some tens of megabytes."""
_MARK = "feature_atlas"
"""The key of our name in a batch's metadata."""
_DONE = {"completed", "failed", "expired", "cancelled"}


def fetch_in_batches(
    questions: Iterable[Question[T]],
    settings: ModelSettings,
    ledger_path: Path,
    budget_usd: float,
    run_id: str,
    *,
    read: Callable[[str], T],
    poll_s: float = 30.0,
    on_wait: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Bring the replies to some questions into the ledger, as many of the first as the budget holds; how many came.

    Batches that an earlier process left are waited for too. Each request is sent once: one that failed in its batch
    has a row that says so, and may be asked again.

    :param read: takes a reply's text apart, as the questions' own
    :param poll_s: seconds between two looks at the batches
    :param on_wait: called with the requests that have ended and their total
    Raises HopelessError where the server answers nobody, AtlasError where it cannot be reached any more.
    """
    ledger = RequestLedger(ledger_path, budget_usd)
    try:
        server = _Server(settings)
        try:
            _submit(questions, settings, ledger, server, run_id)
            return _wait(ledger, server, settings.price.halved(), run_id, read, poll_s, on_wait)
        finally:
            server.close()
    finally:
        ledger.close()


def _submit(
    questions: Iterable[Question[Any]], settings: ModelSettings, ledger: RequestLedger, server: "_Server", run_id: str
) -> None:
    """Reserve and send what is neither answered nor under way."""
    for batch in ledger.open_batches():
        if batch.server_id is None:
            _find_or_drop(batch, ledger, server, run_id)
    price = settings.price.halved()
    seen = ledger.under_way()
    for chunk in _chunks(questions, settings, price, ledger, seen):
        name = str(uuid4())
        _, ids = ledger.write([], [request for request, _ in chunk], run_id, name)
        if ids:
            lines = (_line(at, settings, question) for at, (_, question) in zip(ids, chunk, strict=False))
            ledger.name_batch(name, server.create(name, "".join(lines).encode()))
        if len(ids) < len(chunk):
            return


def _chunks(
    questions: Iterable[Question[Any]],
    settings: ModelSettings,
    price: Price,
    ledger: RequestLedger,
    seen: set[str],
) -> Iterator[list[tuple[Request, Question[Any]]]]:
    chunk: list[tuple[Request, Question[Any]]] = []
    for question in questions:
        request = question_request(settings, question, price, send=1)
        if request.request_sha256 in seen or ledger.known(request.request_sha256):
            continue
        seen.add(request.request_sha256)
        chunk.append((request, question))
        if len(chunk) == LARGEST_BATCH:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _line(request_id: int, settings: ModelSettings, question: Question[Any]) -> str:
    body = question_body(settings, question, structured=settings.structured != "none")
    line = {"custom_id": str(request_id), "method": "POST", "url": "/v1/chat/completions", "body": body}
    return json.dumps(line, ensure_ascii=False) + "\n"


def _find_or_drop(batch: OpenBatch, ledger: RequestLedger, server: "_Server", run_id: str) -> None:
    found = server.find(batch.batch)
    if found is not None:
        ledger.name_batch(batch.batch, found)
        return
    dropped = Ended("failed", error="the process ended before its batch was made", cost_usd=0.0)
    ledger.write([(request_id, dropped) for request_id in sorted(batch.request_ids)], [], run_id)


def _wait(
    ledger: RequestLedger,
    server: "_Server",
    price: Price,
    run_id: str,
    read: Callable[[str], object],
    poll_s: float,
    on_wait: Callable[[int, int], None],
) -> int:
    came = 0
    while batches := [batch for batch in ledger.open_batches() if batch.server_id is not None]:
        done = total = 0
        for batch in batches:
            state = server.client_call(lambda at=str(batch.server_id): server.client.batches.retrieve(at))
            if state.status in _DONE:
                ended = dict(_ended(state, batch, server, price, read))
                ledger.write(sorted(ended.items()), [], run_id)
                came += sum(end.status != "failed" for end in ended.values())
                done += len(batch.request_ids)
            elif state.request_counts:
                done += state.request_counts.completed
            total += len(batch.request_ids)
        on_wait(done, total)
        if done < total:
            time.sleep(poll_s)
    return came


def _ended(
    state: Any, batch: OpenBatch, server: "_Server", price: Price, read: Callable[[str], object]
) -> Iterator[tuple[int, Ended]]:
    """How each request of a batch that is over ended; those without a line come last, and lose to one with a line."""
    left = set(batch.request_ids)
    for file in (state.output_file_id, state.error_file_id):
        for line in server.lines(file) if file else ():
            request_id = int(line["custom_id"]) if str(line.get("custom_id")).isdecimal() else -1
            if request_id in left:
                left.remove(request_id)
                yield request_id, kept(_line_ended(line, price, read), server.client.api_key, 0.0)
    # What a completed batch leaves out may have been billed; one that stopped bills what it answered.
    cost = None if state.status == "completed" else 0.0
    for request_id in left:
        yield request_id, Ended("failed", error=f"its batch ended as {state.status} without it", cost_usd=cost)


def _line_ended(line: dict[str, Any], price: Price, read: Callable[[str], object]) -> Ended:
    response = line.get("response") or {}
    status = response.get("status_code")
    if status == 200:
        return read_completion(json.dumps(response.get("body"), ensure_ascii=False), price, read)
    error = line.get("error") or response.get("body")
    return Ended("failed", status, error=json.dumps(error, ensure_ascii=False), cost_usd=0.0)


class _Server:
    """The files and batches of one server; passing faults are waited out."""

    def __init__(self, settings: ModelSettings):
        self._retries = settings.retries
        self._jitter = random.Random(0)
        self.client = openai.OpenAI(
            api_key=api_key(settings.base_url),
            base_url=server_address(settings.base_url),
            max_retries=0,
            timeout=max(600.0, settings.timeout_s),
        )

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def create(self, name: str, lines: bytes) -> str:
        """Upload a file and make a batch of it; the server's name for the batch."""
        file = self.client_call(lambda: self.client.files.create(file=("requests.jsonl", lines), purpose="batch"))

        def make() -> str:
            # The first try may have arrived though its answer did not.
            made = self.find(name)
            return made or self.client.batches.create(
                input_file_id=file.id,
                endpoint="/v1/chat/completions",
                completion_window="24h",
                metadata={_MARK: name},
            ).id  # fmt: skip

        return self.client_call(make)

    def find(self, name: str) -> str | None:
        """The batch that carries our name, if the server has one."""

        def look() -> str | None:
            every = self.client.batches.list(limit=100)
            return next((batch.id for batch in every if (batch.metadata or {}).get(_MARK) == name), None)

        return self.client_call(look)

    def lines(self, file_id: str) -> Sequence[dict[str, Any]]:
        """The JSON objects of a file."""
        text = self.client_call(lambda: self.client.files.content(file_id).text)
        return [json.loads(line) for line in text.split("\n") if line.strip()]

    def client_call(self, call: Callable[[], T]) -> T:
        """Do something that may be done twice."""
        fault = ""
        for send in range(1, self._retries + 2):
            try:
                return call()
            except openai.APIStatusError as error:
                raise_if_hopeless(error)
                asked = asked_wait(error.response.headers.get("retry-after"))
                fault = f"HTTP {error.status_code}: {error.message}"
                if not is_passing(error.status_code) or (asked or 0.0) > LONGEST_ASKED_WAIT_S:
                    break
            except openai.APIConnectionError as error:
                asked, fault = None, str(error.__cause__ or error)
            if send <= self._retries:
                time.sleep(wait_before(send + 1, self._jitter) if asked is None else asked)
        raise AtlasError(f"The batch server gives no answer ({fault}). What is under way is picked up by the next run.")
