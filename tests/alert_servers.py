"""Servers on loopback that take alerts: one speaks HTTP, the other SMTP, and both remember what came."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Received:
    """Where a server listens, and what it was sent."""

    port: int = 0
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    """Path, headers and body of each HTTP request."""
    mails: list[tuple[str, list[str], str]] = field(default_factory=list)
    """Sender, recipients and message of each mail."""
    logins: list[str] = field(default_factory=list)
    """What was said to log in, base64."""


@contextmanager
def http_server(status: int = 200, location: str | None = None) -> Iterator[Received]:
    """A webhook's server that answers with one status."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.requests.append((self.path, dict(self.headers), body))
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with _serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler), received):
        yield received


@contextmanager
def smtp_server(refuse: bool = False) -> Iterator[Received]:
    """A mail server that offers AUTH PLAIN and takes any mail, or refuses every recipient."""
    received = Received()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.say("220 loopback")
            sender, to = "", list[str]()
            while line := self.rfile.readline().decode().rstrip("\r\n"):
                verb = line.split()[0].upper()
                if verb == "EHLO":
                    self.say("250-loopback")
                    self.say("250 AUTH PLAIN")
                elif verb == "AUTH":
                    received.logins.append(line.split()[-1])
                    self.say("235 welcome")
                elif verb == "MAIL":
                    sender, to = line.split(":", 1)[1].split()[0].strip("<>"), []
                    self.say("250 ok")
                elif verb == "RCPT" and refuse:
                    self.say("550 nobody of that name")
                elif verb == "RCPT":
                    to.append(line.split(":", 1)[1].split()[0].strip("<>"))
                    self.say("250 ok")
                elif verb == "DATA":
                    self.say("354 go on")
                    lines = iter(lambda: self.rfile.readline().decode().rstrip("\r\n"), ".")
                    received.mails.append((sender, to, "\n".join(lines)))
                    self.say("250 ok")
                elif verb == "QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("250 ok")

        def say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

    with _serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler), received):
        yield received


@contextmanager
def _serving(server: socketserver.BaseServer, received: Received) -> Iterator[None]:
    received.port = int(server.server_address[1])  # type: ignore[index]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
