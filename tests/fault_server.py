"""An OpenAI-compatible server on loopback that answers at once, late, badly or not at all, in a mix that a test gives.

It speaks HTTP/1.1 by itself, so that it can break a connection at any byte, and keeps its own account of what it would
have billed.
"""

import asyncio
import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

Fault = Literal[
    "busy", "error", "slow", "drop", "cut_off", "no_json", "malformed", "wrong_schema", "refusal", "filtered", "empty",
    "truncated",
]  # fmt: skip
"""busy: 429 with Retry-After; error: 500; slow: later than the client waits; drop: the connection closes without an
answer; cut_off: in the middle of one; no_json: 200 and a page; the others are complete replies of bad content."""
INPUT_TOKENS, OUTPUT_TOKENS = 100, 20
"""What every reply counts."""
GOOD = {"label": "mentions of Boston", "explanation": "Active on the city's name.", "confidence": 0.7}


@dataclass
class FaultServer:
    """Serves while its `with` block lasts, in a thread of its own."""

    faults: Mapping[Fault, float] = field(default_factory=dict)
    """Share of the sends that meet each fault."""
    seed: int = 0
    latency_s: float = 0.0
    slow_s: float = 30.0
    retry_after: str = "0.02"
    answer: Callable[[dict[str, Any]], str] = lambda body: json.dumps(GOOD)
    """The text of a good reply to a request's body."""
    takes_schema: bool = True
    """Whether a `response_format` is taken; otherwise it is answered with 400."""
    refuses_with: int = 0
    """Every request is answered with this HTTP status, where it is not 0."""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    """Every request read."""
    headers: list[str] = field(default_factory=list)
    """Their headers."""
    met: Counter[str] = field(default_factory=Counter)
    """How often each fault was met; `good` counts the others."""
    billed: list[tuple[int, int]] = field(default_factory=list)
    """Tokens in and out of every reply that the model wrote, whether it arrived or not."""
    most_at_once: int = 0

    def __enter__(self) -> Self:
        self._random, self._at_once = random.Random(self.seed), 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        start = asyncio.start_server(self._connection, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(start, self._loop).result()
        self.base_url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        async def stop() -> None:
            self._server.close()
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next(int(h.split(":")[1]) for h in head.split("\r\n") if h.lower().startswith("content-len"))
                body = json.loads(await reader.readexactly(length))
                self.headers.append(head)
                self.bodies.append(body)
                self._at_once += 1
                self.most_at_once = max(self.most_at_once, self._at_once)
                try:
                    response = await self._respond(body)
                finally:
                    self._at_once -= 1
                writer.write(response.removesuffix(_BREAK))
                await writer.drain()
                if response.endswith(_BREAK):
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _respond(self, body: dict[str, Any]) -> bytes:
        if self.refuses_with:
            return _http(self.refuses_with, {"error": {"message": "no", "type": "no", "code": None}})
        if "response_format" in body and not self.takes_schema:
            return _http(400, {"error": {"message": "response_format is not known here"}})
        fault = self._draw()
        self.met[fault] += 1
        await asyncio.sleep(self.latency_s)
        match fault:
            case "busy":
                return _http(429, {"error": {"message": "slow down"}}, {"Retry-After": self.retry_after})
            case "error":
                return _http(500, {"error": {"message": "out of order"}})
            case "drop":
                return _BREAK
            case "no_json":
                return _http(200, "<html>a page</html>")
        message, reason = _message(fault, self.answer(body))
        self.billed.append((INPUT_TOKENS, OUTPUT_TOKENS))
        if fault == "slow":
            await asyncio.sleep(self.slow_s)
        response = _http(200, completion(body["model"], message, reason))
        return response[: len(response) // 2] + _BREAK if fault == "cut_off" else response

    def _draw(self) -> str:
        at = self._random.random()
        for fault, share in self.faults.items():
            if at < share:
                return fault
            at -= share
        return "good"


_BREAK = b"\0break"
"""Stands at the end of a response after which the connection is closed."""


def completion(model: str, message: Mapping[str, Any], reason: str) -> dict[str, Any]:
    """The body of a chat completion."""
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "finish_reason": reason, "message": {"role": "assistant", **message}}],
        "usage": {
            "prompt_tokens": INPUT_TOKENS,
            "completion_tokens": OUTPUT_TOKENS,
            "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
        },
    }


def _message(fault: str, good: str) -> tuple[dict[str, Any], str]:
    match fault:
        case "malformed":
            return {"content": good[:-3]}, "stop"
        case "wrong_schema":
            return {"content": json.dumps({"name": 3})}, "stop"
        case "refusal":
            return {"content": None, "refusal": "I will not."}, "stop"
        case "filtered":
            return {"content": ""}, "content_filter"
        case "empty":
            return {"content": " \n"}, "stop"
        case "truncated":
            return {"content": good[:9]}, "length"
    return {"content": good}, "stop"


def _http(status: int, body: object, headers: Mapping[str, str] | None = None) -> bytes:
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    lines = {"Content-Type": "application/json", "Content-Length": str(len(data)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + data
