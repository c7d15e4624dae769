"""The inference service as the pages ask it: on loopback alone, by the url and token in the state folder's file.

Redirects are not followed and no proxy is asked. The token stays in this module.
"""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, ValidationError

from catalog_ui.answers import Answer
from sae.errors import AtlasError

HEALTH_SECONDS = 2.0
ANSWER_SECONDS = 300.0
"""A first question waits for the model to be loaded."""
ANSWER_BYTES = 16 * 2**20
_FILE_BYTES = 4_096
_WORDS = 400

Kind = TypeVar("Kind", bound=Answer)


class NoServiceError(AtlasError):
    """No service answers; the words say what was found."""


class UnansweredError(AtlasError):
    """A question has no answer; the words say why, the service's own where it gave any."""


@dataclass(frozen=True)
class Service:
    """An inference service on this machine's loopback."""

    host: str
    port: int
    token: str = field(repr=False)


class _Told(BaseModel):
    """What the file of a running service holds."""

    url: str
    token: str = Field(pattern=r"^[!-~]{1,256}$")


class _Health(BaseModel):
    status: Literal["ok"]


class _Refusal(BaseModel):
    error: str


def standing_service(file: Path) -> Service:
    """The service that a state folder's file names, which has just said that it stands. Raises NoServiceError."""
    service = _named_in(file)
    where = f"{service.host}, port {service.port}, as {file} says"
    try:
        status, data = _exchange(service, "GET", "/health", None, HEALTH_SECONDS)
        _Health.model_validate_json(data if status == http.client.OK else b"")
    except TimeoutError as error:
        words = f"The inference service at {where}, has not answered within {HEALTH_SECONDS:.0f} seconds."
        raise NoServiceError(words) from error
    except OSError as error:
        words = f"No inference service answers at {where}: it has ended, and was not able to take that file away."
        raise NoServiceError(words) from error
    except (http.client.HTTPException, ValidationError) as error:
        raise NoServiceError(f"Something else than an inference service answers at {where}.") from error
    return service


def ask(service: Service, path: str, body: Mapping[str, Any], kind: type[Kind]) -> Kind:
    """Ask a question and wait for the answer. Raises UnansweredError."""
    try:
        status, data = _exchange(service, "POST", path, json.dumps(body).encode(), ANSWER_SECONDS)
    except TimeoutError as error:
        words = f"The inference service has not answered within {ANSWER_SECONDS:.0f} seconds. Ask for less, or later."
        raise UnansweredError(words) from error
    except (OSError, http.client.HTTPException) as error:
        raise UnansweredError("The inference service has ended without an answer. Its terminal says why.") from error
    try:
        if status == http.client.OK:
            return kind.model_validate_json(data)
        words = _Refusal.model_validate_json(data).error
    except ValidationError as error:
        words = f"The inference service answers (status {status}) what these pages do not know. Start both anew."
        raise UnansweredError(words) from error
    raise UnansweredError(words[:_WORDS])


def _named_in(file: Path) -> Service:
    try:
        with file.open("rb") as opened:
            told = _Told.model_validate_json(opened.read(_FILE_BYTES))
        url = urlsplit(told.url)
        host, port = url.hostname or "", url.port or 0
    except FileNotFoundError as error:
        raise NoServiceError("No inference service stands on this state folder.") from error
    except OSError as error:
        raise NoServiceError(f"{file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise NoServiceError(f"{file} is not what an inference service writes.") from error
    if url.scheme != "http" or not port or not _is_loopback(host):
        raise NoServiceError(f"{file} names a service elsewhere. The pages ask one on this machine's loopback alone.")
    return Service(host, port, told.token)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _exchange(service: Service, method: str, path: str, body: bytes | None, seconds: float) -> tuple[int, bytes]:
    """One request over a connection of its own: status and body of the answer."""
    headers = {} if body is None else {"Content-Type": "application/json", "Authorization": f"Bearer {service.token}"}
    connection = http.client.HTTPConnection(service.host, service.port, timeout=seconds)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        data = response.read(ANSWER_BYTES + 1)
    finally:
        connection.close()
    if len(data) > ANSWER_BYTES:
        raise http.client.HTTPException(f"An answer of more than {ANSWER_BYTES:,} bytes")
    return response.status, data
