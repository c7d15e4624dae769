"""What a client of the inference service sends and gets: one request each, over a connection of its own."""

import http.client
import json
from typing import Any, NamedTuple
from urllib.parse import urlsplit


class Reply(NamedTuple):
    """Status, headers in lower case, and the answer's JSON."""

    status: int
    headers: dict[str, str]
    body: Any


def ask(url: str, path: str, token: str | None, body: Any = None, **headers: str) -> Reply:
    """POST `body` (bytes as they are, anything else as JSON), or GET where there is none; `_` in a header is `-`."""
    sent: dict[str, str] = {} if token is None else {"Authorization": f"Bearer {token}"}
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    if data is not None:
        sent["Content-Type"] = "application/json"
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    place = urlsplit(url)
    assert place.hostname is not None
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=300)
    try:
        connection.request("GET" if data is None else "POST", path, data, sent)
        response = connection.getresponse()
        text = response.read()
        return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, json.loads(text))
    finally:
        connection.close()
