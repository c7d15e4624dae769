"""Who may ask: requests to a name of this service, with its token, in JSON. Any web page can reach loopback.

A page whose name was bound anew to this address sends its own name as `Host`; one that posts a form across sites can
send no token, and no JSON without asking first, which nothing here allows.
"""

import hmac
import re
from collections.abc import Collection
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Names by which this machine reaches itself."""
OPEN = "/health"
"""Answered without a token: it says nothing but that the service stands."""
BODY_BYTES = 8 * 2**20
"""Largest request."""
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:@/\[\]]+)(:\d{1,5})?")


def guarded(app: ASGIApp, token: str, names: Collection[str]) -> ASGIApp:
    """The application behind its checks: 403 for another host's name than `names`, 401 without the token."""
    known = {name.lower() for name in names}

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        refused = _refusal(Request(scope), token, known) if scope["type"] == "http" else None
        await (refused or app)(scope, receive, send)

    return checked


async def read_json(request: Request) -> bytes | Response:
    """The body of a request in JSON, or the answer to one that is something else (415) or too large (413)."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        return refusal(415, "Send JSON, with `Content-Type: application/json`.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES:
            return refusal(413, f"The request is larger than {BODY_BYTES:,} bytes. Send a shorter text or picture.")
    return bytes(body)


def refusal(status: int, words: str, headers: dict[str, str] | None = None) -> Response:
    """`{"error": words}` with a status."""
    extra: dict[str, Any] = headers or {}
    return JSONResponse({"error": words}, status, headers={"Cache-Control": "no-store", **extra})


def _refusal(request: Request, token: str, names: set[str]) -> Response | None:
    host = _HOST.fullmatch(request.headers.get("host", ""))
    if host is None or host[1].strip("[]").lower() not in names:
        return refusal(403, "This service does not go by that name. `atlas serve --name` adds one.")
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    is_known = scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())
    if request.url.path == OPEN or is_known:
        return None
    words = "Send `Authorization: Bearer TOKEN`; `atlas serve` prints the token and writes it to its state folder."
    return refusal(401, words, {"WWW-Authenticate": "Bearer"})
