"""One chat completion over the wire: what is sent to an OpenAI-compatible server, and what its answer amounts to.

The key comes from the environment variable `OPENAI_API_KEY` alone; a server that wants none may be used without. It is
struck out of every text that is kept.
"""

import asyncio
import json
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import httpx2
import openai

from sae.errors import AtlasError
from sae.labels.budget import Price
from sae.labels.question import ModelSettings, Question, server_address
from sae.labels.request_ledger import Ended

KEY_VARIABLE = "OPENAI_API_KEY"
NO_KEY = "no-key-needed"
_LONGEST_ERROR = 500
_HOPELESS = {401: "refused the key", 402: "wants payment", 403: "refused the key", 404: "knows no such model or path"}
"""Answers after which no other request can succeed."""
_SENDS_NOTHING = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)
"""Faults before a request left: nothing was paid."""


class HopelessError(AtlasError):
    """The server will refuse every other request too: a wrong key, an unknown model, an empty account."""


class Answer(NamedTuple):
    """What came of sending a request once."""

    ended: Ended
    retry_after: str | None = None
    """The header of that name."""


def api_key(base_url: str | None) -> str:
    """The key in the environment, or a stand-in for a server that is named and may want none."""
    key = os.environ.get(KEY_VARIABLE)
    if not key and base_url is None:
        raise AtlasError(f"{KEY_VARIABLE} is not set. Export it, or name another server in `labeler.base_url`.")
    return key or NO_KEY


def open_client(base_url: str | None, concurrency: int) -> openai.AsyncOpenAI:
    """A client that sends each request once: trying again is the caller's business, where it is accounted.

    Raises AtlasError where OPENAI_API_KEY is missing and no server is named.
    """
    key = api_key(base_url)
    limits = httpx2.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    http = openai.DefaultAsyncHttpxClient(limits=limits)
    address = server_address(base_url)
    return openai.AsyncOpenAI(api_key=key, base_url=address, max_retries=0, http_client=http)


def question_body(settings: ModelSettings, question: Question[Any], structured: bool) -> dict[str, Any]:
    """The JSON of a request, with the schema of its reply where that is `structured`.

    Other servers than OpenAI's know the limit of a reply as `max_tokens`, OpenAI's newer models only as
    `max_completion_tokens`.
    """
    body: dict[str, Any] = {"model": settings.model, "messages": list(question.messages), "seed": question.seed}
    limit = "max_completion_tokens" if settings.base_url is None else "max_tokens"
    body[limit] = question.max_output_tokens or settings.max_output_tokens
    if settings.temperature is not None:
        body["temperature"] = settings.temperature
    if structured and question.schema is not None:
        schema = {"name": "reply", "strict": True, "schema": dict(question.schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


async def send_once(
    client: openai.AsyncOpenAI, body: dict[str, Any], *, timeout_s: float, price: Price, read: Callable[[str], object]
) -> Answer:
    """Send a request once and say how it ended; faults of the network and of the server are outcomes, not errors.

    What a failed send cost: nothing where the server answered with a fault or was never reached, otherwise unknown.

    :param read: raises ValueError where the reply's text is not what was asked for
    Raises HopelessError where no other request can succeed.
    """
    began = time.monotonic()
    try:
        async with asyncio.timeout(timeout_s):
            # The plain response: what came is judged here and kept whole, whatever it is.
            response = await client.post("/chat/completions", cast_to=httpx2.Response, body=body)
        ended = read_completion(response.text, price, read)
        return Answer(kept(ended, client.api_key, time.monotonic() - began))
    except TimeoutError:
        ended, retry_after = Ended("failed", error=f"no answer within {timeout_s:g} s"), None
    except openai.APIStatusError as error:
        raise_if_hopeless(error)
        ended = Ended("failed", error.status_code, error=f"HTTP {error.status_code}: {error.message}", cost_usd=0.0)
        retry_after = error.response.headers.get("retry-after")
    except openai.APIConnectionError as error:
        cause = error.__cause__ or error
        free = isinstance(cause, _SENDS_NOTHING)
        ended = Ended("failed", error=f"{type(cause).__name__}: {cause}", cost_usd=0.0 if free else None)
        retry_after = None
    return Answer(kept(ended, client.api_key, time.monotonic() - began), retry_after)


def read_completion(raw: str, price: Price, read: Callable[[str], object]) -> Ended:
    """What the body of a chat completion (HTTP 200) amounts to.

    In this order: no completion at all → failed, its cost unknown; a refusal or a content filter → refused; no text →
    empty; stopped at the limit of tokens → truncated; text that `read` refuses → malformed; otherwise ok. Where the
    server counts no tokens the cost is unknown.
    """
    try:
        body = json.loads(raw)
        choice = body["choices"][0]
        message, reason = choice["message"], choice.get("finish_reason")
        content, refusal = message.get("content"), message.get("refusal")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Ended("failed", 200, error="the answer is no chat completion", raw=raw)
    usage = body.get("usage")
    tokens = [usage.get(name) if isinstance(usage, dict) else None for name in ("prompt_tokens", "completion_tokens")]
    sent, received = (n if isinstance(n, int) and n >= 0 else None for n in tokens)
    cost = None if sent is None or received is None else price.cost(sent, received)
    text = content if isinstance(content, str) else None
    status, error = _status(text, refusal, reason, read)
    return Ended(status, 200, text, error, raw, sent, received, cost)


def _status(text: str | None, refusal: object, reason: object, read: Callable[[str], object]) -> tuple[str, str | None]:
    if refusal or reason == "content_filter":
        return "refused", str(refusal or "the server's content filter stopped it")
    if text is None or not text.strip():
        return "empty", "the reply has no text"
    if reason == "length":
        return "truncated", "the reply ends at the limit of tokens"
    try:
        read(text)
    except ValueError as fault:
        return "malformed", str(fault)
    return "ok", None


def raise_if_hopeless(error: openai.APIStatusError) -> None:
    """Raise HopelessError where an answer says that no other request can succeed."""
    why = _HOPELESS.get(error.status_code)
    if error.status_code == 429 and error.code == "insufficient_quota":
        why = "has no quota left for this key"
    if why:
        raise HopelessError(
            f"The labeler's server {why} (HTTP {error.status_code}). Check {KEY_VARIABLE}, `labeler.model` and "
            "`labeler.base_url`; what came back so far is kept."
        ) from None


def kept(ended: Ended, key: str, seconds: float) -> Ended:
    """An outcome as it may be written down: without the key, errors bounded."""

    def clean(text: str | None) -> str | None:
        if text is None:
            return None
        # JSON can spell half a surrogate pair, which is no text that a file could hold.
        whole = text.encode("utf-8", "replace").decode("utf-8")
        return whole if key == NO_KEY else whole.replace(key, "[key]")

    error = clean(ended.error)
    return ended._replace(
        text=clean(ended.text), raw=clean(ended.raw), error=error and error[:_LONGEST_ERROR], seconds=seconds
    )
