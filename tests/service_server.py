"""The inference service's HTTP side on a real socket, with answers that need no model, and what it writes of itself."""

import contextlib
import json
import logging
import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import uvicorn

from orchestration.serving.application import Answer, application
from orchestration.serving.guard import LOOPBACK
from orchestration.serving.service import server_config

TOKEN = "a-token"


@contextlib.contextmanager
def served(answers: Mapping[str, Answer]) -> Iterator[str]:
    """Serve answers by path to who knows TOKEN; the url."""
    # Once Streamlit is imported, uvicorn's loggers write to a stream that pytest has closed by the next test.
    for name in ("uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(server_config(application(answers, TOKEN, LOOPBACK)))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)
    assert not thread.is_alive()


def tell(file: Path, url: str, token: str = TOKEN) -> Path:
    """Write what a service writes of itself."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"url": url, "token": token, "pid": 1}) + "\n")
    return file
