"""An OpenAI-compatible server of files and batches on loopback, which finishes a batch after a few looks at it."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from fault_server import GOOD, completion


@dataclass
class BatchServer:
    """Serves while its `with` block lasts, in threads of its own."""

    answer: Callable[[dict[str, Any]], str] = lambda body: json.dumps(GOOD)
    """The text of a reply to a request's body."""
    looks: int = 2
    """How often a batch is looked at before it has ended."""
    fails: Callable[[int], bool] = lambda number: False
    """Whether the line of that number (of all ever answered, from 0) ends with an error."""
    ends_as: str = "completed"
    busy: int = 0
    """How many of the next requests are answered with 429."""
    loses_answers: int = 0
    """How many of the next batches are made without an answer to their maker."""
    files: dict[str, str] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    answered: list[dict[str, Any]] = field(default_factory=list)
    """The bodies of all requests that were answered or failed."""

    def __enter__(self) -> Self:
        self._httpd = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._httpd.serve_forever, daemon=True)
        self._thread.start()
        self.base_url = f"http://127.0.0.1:{self._httpd.server_address[1]}/v1"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._httpd.shutdown()
        self._httpd.server_close()
        self._thread.join()

    def add_file(self, text: str) -> str:
        name = f"file-{len(self.files)}"
        self.files[name] = text
        return name

    def make(self, wanted: dict[str, Any]) -> dict[str, Any]:
        batch = {
            "id": f"batch-{len(self.batches)}",
            "object": "batch",
            "endpoint": wanted["endpoint"],
            "completion_window": wanted["completion_window"],
            "created_at": 0,
            "input_file_id": wanted["input_file_id"],
            "metadata": wanted["metadata"],
            "status": "in_progress",
            "output_file_id": None,
            "error_file_id": None,
            "looked": 0,
        }
        self.batches[batch["id"]] = batch
        return batch

    def look(self, name: str) -> dict[str, Any]:
        batch = self.batches[name]
        batch["looked"] += 1
        if batch["looked"] > self.looks and batch["status"] == "in_progress":
            batch["status"] = self.ends_as
            if self.ends_as == "completed":
                self._answer(batch)
        return batch

    def _answer(self, batch: dict[str, Any]) -> None:
        good, bad = [], []
        for line in self.files[batch["input_file_id"]].split("\n"):
            if not line:
                continue
            request = json.loads(line)
            body, failed = request["body"], self.fails(len(self.answered))
            self.answered.append(body)
            reply = {"error": "lost"} if failed else completion(body["model"], {"content": self.answer(body)}, "stop")
            response = {"status_code": 500 if failed else 200, "body": reply}
            (bad if failed else good).append(json.dumps({"custom_id": request["custom_id"], "response": response}))
        # The lines of a batch come in any order.
        batch["output_file_id"] = self.add_file("\n".join(reversed(good)))
        batch["error_file_id"] = self.add_file("\n".join(bad)) if bad else None


def _handler(server: BatchServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self._busy():
                return
            parts = self.path.split("?")[0].split("/")[2:]
            match parts:
                case ["batches"]:
                    self._send({"object": "list", "data": list(server.batches.values()), "has_more": False})
                case ["batches", name]:
                    self._send(server.look(name))
                case ["files", name, "content"]:
                    self._send(server.files[name])

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            if self._busy():
                return
            if self.path.endswith("/files"):
                boundary = self.headers["Content-Type"].split("boundary=")[1].encode()
                part = next(p for p in data.split(b"--" + boundary) if b"filename=" in p)
                text = part.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n").decode()
                self._send({"id": server.add_file(text), "object": "file", "purpose": "batch"})
                return
            batch = server.make(json.loads(data))
            if server.loses_answers:
                server.loses_answers -= 1
                self.close_connection = True
                return
            self._send(batch)

        def _busy(self) -> bool:
            if not server.busy:
                return False
            server.busy -= 1
            self._send({"error": {"message": "slow down"}}, 429)
            return True

        def _send(self, body: object, status: int = 200) -> None:
            data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
