"""`atlas ui` as processes: pages and, beside them, the inference service, which ends when they do, however they end."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tiny_pipeline import atlas_command, environment, write_config

from catalog_ui.service import NoServiceError, standing_service
from sae.config import SERVICE_FILE

PATIENCE = 60
SLOW = pytest.mark.slow
"""Each starts two programs: together they take most of a minute."""


@dataclass(frozen=True)
class Pages:
    """A running `atlas ui`."""

    process: "subprocess.Popen[str]"
    port: int
    file: Path
    """Where the service says how it is reached."""

    def answer(self) -> bool:
        try:
            connection = http.client.HTTPConnection("localhost", self.port, timeout=5)
            connection.request("GET", "/_stcore/health")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def service_stands(self) -> bool:
        try:
            standing_service(self.file)
        except NoServiceError:
            return False
        return True

    def service_pid(self) -> int:
        return json.loads(self.file.read_text())["pid"]


@pytest.fixture
def config(tmp_path):
    """A config whose store is empty: neither pages nor service ask it for more until someone asks them."""
    return write_config(tmp_path)


@pytest.fixture
def ui(config) -> Iterator[Callable[..., Pages]]:
    with contextlib.ExitStack() as stack:

        def start(*options: str) -> Pages:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            command = atlas_command("ui", "--port", str(port), *options)
            # In files: a service that outlived the pages would keep a pipe open.
            with (config.parent / f"{port}.log").open("w+") as log:
                process = subprocess.Popen(
                    command, env=environment(config), stdout=log, stderr=log, text=True, start_new_session=True
                )
            stack.callback(process.wait, PATIENCE)
            stack.callback(process.terminate)
            pages = Pages(process, port, config.parent / "state" / SERVICE_FILE)
            _until(lambda: pages.answer() or process.poll() is not None)
            assert process.poll() is None, (config.parent / f"{port}.log").read_text()
            return pages

        yield start


def _until(happened: Callable[[], bool]) -> None:
    latest = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < latest
        time.sleep(0.05)


@pytest.mark.parametrize(
    "end", [signal.SIGKILL, *(pytest.param(s, marks=SLOW) for s in (signal.SIGINT, signal.SIGTERM))]
)
def test_pages_and_service_start_together_and_end_together(end, ui):
    pages = ui()
    _until(pages.service_stands)

    os.kill(pages.process.pid, end)
    pages.process.wait(PATIENCE)

    _until(lambda: not pages.file.exists())
    assert not pages.answer()
    assert not pages.service_stands()


@SLOW
def test_pages_go_on_when_the_service_ends(ui):
    pages = ui()
    _until(pages.service_stands)

    os.kill(pages.service_pid(), signal.SIGKILL)
    _until(lambda: not pages.service_stands())

    assert pages.answer()
    assert pages.process.poll() is None


@SLOW
def test_a_service_that_stands_is_used_and_outlives_the_pages(ui, config):
    service = subprocess.Popen(atlas_command("serve"), env=environment(config), stdout=subprocess.DEVNULL)
    try:
        file = config.parent / "state" / SERVICE_FILE
        _until(file.exists)
        pages = ui()
        pages.process.terminate()
        pages.process.wait(PATIENCE)

        assert pages.service_stands()
        assert pages.service_pid() == service.pid
        assert "that stands on this state folder already" in (config.parent / f"{pages.port}.log").read_text()
    finally:
        service.terminate()
        service.wait(PATIENCE)


@SLOW
def test_the_service_may_be_left_out(ui):
    pages = ui("--no-service")

    children = subprocess.run(["pgrep", "-P", str(pages.process.pid)], capture_output=True, check=False)
    assert children.stdout == b""


@SLOW
def test_a_service_that_cannot_start_says_so_and_the_pages_go_on(ui, config):
    (config.parent / "state" / SERVICE_FILE / "in the way").mkdir(parents=True)

    pages = ui()
    log = config.parent / f"{pages.port}.log"
    _until(lambda: "error: " in log.read_text())

    assert "could not be written" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert pages.answer()
