"""Dagster's daemon as a process that a test starts, waits for and kills."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tiny_pipeline import environment

from orchestration.runner import dagster_home
from sae.config import load_workspace

PATIENCE_S = 800


@contextmanager
def daemon(config: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The daemon with its code server and the runs that it launches, in one process group that ends with the block."""
    home = dagster_home(load_workspace(config))
    command = [str(Path(sys.executable).parent / "dagster-daemon"), "run", "-m", "orchestration.definitions"]
    with log.open("ab") as out:
        process = subprocess.Popen(
            command,
            env=environment(config) | {"DAGSTER_HOME": str(home)},
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End the whole group at once, as a power cut does."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def wait_for(what: str, condition: Callable[[], object], log: Path) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"{what} did not come. The daemon said:\n{log.read_text()[-3000:]}")
        time.sleep(1)
