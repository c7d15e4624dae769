"""The service as an ASGI application: questions wait for the model in a short queue, errors are words."""

import asyncio
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any

from pydantic_core import from_json
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from orchestration.serving.guard import OPEN, guarded, read_json, refusal
from sae.errors import AtlasError, DamagedFileError

Answer = Callable[[dict[str, Any]], Any]
"""From a request's JSON to the answer's."""
QUEUE = 8
"""Questions that may stand at the model, the one it answers among them."""
RETRY_SECONDS = 5
"""When to ask again where the queue is full."""


class NotCurrentError(AtlasError):
    """A question about a dictionary that is not in force."""


def application(
    answers: Mapping[str, Answer],
    token: str,
    names: Collection[str],
) -> ASGIApp:
    """Answers by path, one at a time, to those who know the token and call this service by one of its names.

    Status 400 for bad input, 409 for a dictionary that is not in force, 503 with `Retry-After` for a full queue.
    """
    turn, standing = asyncio.Lock(), 0

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok", "standing": standing})

    def endpoint(answer: Answer) -> Callable[[Request], Any]:
        async def asked(request: Request) -> Response:
            nonlocal standing
            body = await read_json(request)
            if isinstance(body, Response):
                return body
            if standing >= QUEUE:
                words = f"{standing} questions wait for the model. Ask again in {RETRY_SECONDS} seconds."
                return refusal(503, words, {"Retry-After": str(RETRY_SECONDS)})
            standing += 1
            try:
                async with turn:
                    if await request.is_disconnected():
                        return Response(status_code=204)
                    return await run_in_threadpool(_answered, answer, body)
            finally:
                standing -= 1

        return asked

    async def not_found(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        return refusal(status, f"There are: GET {OPEN}, " + ", ".join(f"POST {path}" for path in answers) + ".")

    routes = [Route(path, endpoint(answer), methods=["POST"]) for path, answer in answers.items()]
    app = Starlette(routes=[Route(OPEN, health), *routes], exception_handlers={HTTPException: not_found})
    return guarded(app, token, names)


def _answered(answer: Answer, body: bytes) -> Response:
    try:
        asked = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        return refusal(400, f"The body is no JSON: {_short(error)}")
    if not isinstance(asked, dict):
        return refusal(400, "The body is no JSON object: send {…} with the keys of this question.")
    try:
        return JSONResponse(answer(asked), headers={"Cache-Control": "no-store"})
    except NotCurrentError as error:
        return refusal(409, _short(error))
    except DamagedFileError as error:
        return refusal(500, _short(error))
    except AtlasError as error:
        return refusal(400, _short(error))
    except Exception as error:
        # Whoever runs the service sees what went wrong; whoever asks learns nothing of the machine.
        print(f"error: {type(error).__name__}: {_short(error)}", file=sys.stderr, flush=True)
        return refusal(500, "The question could not be answered: the service's own terminal says why.")


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:400]
