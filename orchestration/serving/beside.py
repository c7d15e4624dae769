"""The service beside the pages: a child that ends as soon as the process which started it is gone.

The two share a pipe. The kernel closes the starter's end however that process ends, by Ctrl+C, a signal, a crash or
`kill -9`, and the child finds its standard input at an end. No process id is watched, which could be another's by now.

The child, `python -m orchestration.serving.beside PORT`, imports what is heavy when the pages are up, not beside them.
"""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping

ENDING_SECONDS = 10.0
"""How long a service that is to end may take over its open questions."""
PAGES_SECONDS = 20.0
"""How long the service waits for the pages: they may be set to listen elsewhere than on localhost."""
_LOOK_SECONDS = 0.2
_INPUT = 0


def start_beside(port: int, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """Start `atlas serve` once the pages listen on a port.

    It ends with this process, or with the program that takes its place by exec.
    """
    reading, writing = os.pipe()
    service = subprocess.Popen(
        # -P: no module of the working folder takes the place of an installed one.
        [sys.executable, "-P", "-m", "orchestration.serving.beside", str(port)],
        env=environment,
        stdin=reading,
        stdout=subprocess.DEVNULL,  # It would print its token. What it has to say of faults goes to this terminal.
        process_group=0,  # Ctrl+C is for the pages; the service follows them.
    )
    os.close(reading)
    os.set_inheritable(writing, True)
    return service


def end_with_input() -> None:
    """End this process once its standard input is at an end: in order, and by force where that takes too long."""
    threading.Thread(target=_wait_and_end, name="end with input", daemon=True).start()


def _wait_and_end() -> None:
    # An input that cannot be read has nobody at its other end either.
    with contextlib.suppress(OSError):
        while os.read(_INPUT, 1024):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
    # The thread of a long question would keep the process until it is answered, for nobody.
    time.sleep(ENDING_SECONDS)
    os._exit(1)


def _serve_beside(port: int) -> None:
    latest = time.monotonic() + PAGES_SECONDS
    while not _listens(port) and time.monotonic() < latest:
        if select.select([_INPUT], [], [], _LOOK_SECONDS)[0]:
            return  # Nobody writes into the pipe: it is at an end, and so are the pages.
    from orchestration.cli import main

    main(["serve", "--until-input-ends"])


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("localhost", port), timeout=1).close()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    _serve_beside(int(sys.argv[1]))
