"""The service as a process: a port, a token, a file that tells both to this user's programs, and its end."""

import contextlib
import json
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import uvicorn
from filelock import FileLock, Timeout
from starlette.types import ASGIApp

from orchestration.serving.application import application
from orchestration.serving.asked import Asked
from orchestration.serving.guard import LOOPBACK
from sae.config import Workspace
from sae.errors import AtlasError

GRACE_SECONDS = 5
"""How long open requests may take once the service is to end."""


def serve(
    workspace: Workspace,
    host: str,
    port: int,
    names: Collection[str],
    say: Callable[[str], None],
    patience: float = 0.0,
) -> None:
    """Answer until a signal ends the process; `port` 0 takes a free one, `names` are further names of this service.

    `patience`: seconds that another service on this state folder has to come to its end.
    Raises AtlasError where the address is not to be had, or another service stands on this state folder.
    """
    token = secrets.token_urlsafe(32)
    with _alone(workspace, patience), _listening(host, port) as listener:
        bound = listener.getsockname()[1]
        url = f"http://{f'[{host}]' if ':' in host else host}:{bound}"
        file = workspace.service_file

        app = application(Asked(workspace).answers(), token, {*LOOPBACK, host, *names})
        # A signal that ends the server is raised once more when all is closed, and no fault. It may come before, too.
        with contextlib.suppress(KeyboardInterrupt), _ended_by_sigterm():
            _write_private(file, json.dumps({"url": url, "token": token, "pid": os.getpid()}))
            try:
                say(f"url: {url}\ntoken: {token}\nBoth stand in {file}. Ctrl+C ends the service.")
                uvicorn.Server(server_config(app)).run(sockets=[listener])
            finally:
                file.unlink(missing_ok=True)


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM unwind the block, as Ctrl+C does, and end the process with exit code 0."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def server_config(app: ASGIApp) -> uvicorn.Config:
    """How the application is served: plain HTTP/1.1, no log, no name of the server, no trust in a proxy's headers."""
    return uvicorn.Config(
        app,
        http="h11",
        ws="none",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


@contextlib.contextmanager
def _alone(workspace: Workspace, patience: float) -> Iterator[None]:
    """Hold this state folder's only place for a service: two would hold two models."""
    workspace.state.mkdir(parents=True, exist_ok=True)
    lock = FileLock(workspace.state / "service.lock")
    try:
        lock.acquire(timeout=patience)
    except Timeout as error:
        raise AtlasError(
            f"A service stands on this state folder already: {workspace.service_file} says where. "
            "Use it, or end it first."
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address[:2], family=family)
    except (OSError, OverflowError) as error:
        raise AtlasError(f"No listening on {host}, port {port}: {error}. Choose another --host or --port.") from error
    with listener:
        yield listener


def _write_private(path: Path, text: str) -> None:
    """Write a file that its owner alone may read, whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    try:
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise AtlasError(f"{path} could not be written: {error.strerror}. Look at that folder.") from error
    finally:
        beside.unlink(missing_ok=True)
