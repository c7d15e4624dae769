"""What a language model is asked, with what settings, and what comes back."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from sae.config.labeling import LabelerConfig
from sae.errors import AtlasError, ConfigError
from sae.identity import canonical_json
from sae.labels.budget import FREE, Price, most_input_tokens
from sae.labels.request_ledger import Request

T = TypeVar("T")
Status = Literal["ok", "refused", "empty", "truncated", "malformed", "failed"]
Structured = Literal["auto", "schema", "none"]


class BudgetSpentError(AtlasError):
    """The budget does not hold another request of this size."""


@dataclass(frozen=True)
class ModelSettings:
    """The model that is asked, and how."""

    model: str
    base_url: str | None = None
    """The server's address up to `/v1`; the client's own default where None."""
    price: Price = FREE
    temperature: float | None = 0.0
    """None leaves it out: some models take none."""
    max_output_tokens: int = 300
    timeout_s: float = 60.0
    """Seconds for one send, from the first byte to the last."""
    retries: int = 5
    """How often a request is sent again after a passing fault."""
    concurrency: int = 8
    structured: Structured = "auto"
    """Whether the schema is sent along: `auto` finds out."""
    image_tokens: int = 3000
    """The most input tokens that the server counts for one picture."""


@dataclass(frozen=True)
class Question(Generic[T]):
    """What is asked, once."""

    messages: Sequence[Mapping[str, Any]]
    """Chat messages, as the API takes them; pictures as data URLs."""
    seed: int
    purpose: str
    """What for: label, detection, fuzzing, …"""
    key: str
    """What it is about, for example a feature's or a label's id."""
    read: Callable[[str], T]
    """Takes the reply's text apart. Raises ValueError, with the reason, where it is not what was asked for."""
    schema: Mapping[str, Any] | None = None
    """JSON schema of the reply."""
    max_output_tokens: int | None = None
    """Instead of the settings' own."""


@dataclass(frozen=True)
class Reply(Generic[T]):
    """What came back."""

    status: Status
    value: T | None
    """What `read` made of the text; None unless ok."""
    text: str | None
    raw: str | None
    """The body of the server's answer."""
    error: str | None
    request_id: int
    request_sha256: str
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float
    """All that the question's sends cost or may have cost; 0 where it is paid for another question equal to it."""
    paid_for: tuple[str, str]
    """Purpose and key of the question that it was paid for."""
    cached: bool
    """Whether it was in the ledger before, or came to an equal question."""
    created_at: datetime


def model_settings(config: LabelerConfig) -> ModelSettings:
    """The settings in a config. Raises ConfigError where it names no model or no price."""
    if config.model is None or config.price is None or config.budget_usd is None:
        raise ConfigError("A language model is asked only where `labeler` names `model`, `price` and `budget_usd`.")
    return ModelSettings(
        model=config.model,
        base_url=config.base_url,
        price=Price(config.price.input, config.price.output),
        temperature=config.temperature,
        max_output_tokens=config.max_output_tokens,
        timeout_s=config.timeout_s,
        retries=config.retries,
        concurrency=config.concurrency,
        structured=config.structured,
        image_tokens=config.image_tokens,
    )


def server_address(base_url: str | None) -> str:
    """The server that is asked: the one that is named, else OpenAI's own.

    The environment has no say: what decides where the examples and the key go stands in the config.
    """
    return (base_url or "https://api.openai.com/v1").rstrip("/")


def request_identity(settings: ModelSettings, question: Question[Any]) -> str:
    """Canonical JSON of all that makes two questions one; pictures by their hash."""
    return canonical_json(
        {
            "base_url": server_address(settings.base_url),
            "model": settings.model,
            "messages": shown_messages(question.messages),
            "seed": question.seed,
            "temperature": settings.temperature,
            "max_output_tokens": question.max_output_tokens or settings.max_output_tokens,
            "schema": question.schema,
        }
    )


def question_request(settings: ModelSettings, question: Question[Any], price: Price, send: int) -> Request:
    """The row that reserves the most that sending a question once can cost, at a price."""
    body = request_identity(settings, question)
    schema = canonical_json(question.schema) if question.schema is not None else ""
    sent = most_input_tokens(question.messages, schema, settings.image_tokens)
    return Request(
        request_sha256=hashlib.sha256(body.encode()).hexdigest(),
        body=body,
        purpose=question.purpose,
        key=question.key,
        base_url=server_address(settings.base_url),
        model=settings.model,
        seed=question.seed,
        send=send,
        reserved_usd=price.cost(sent, question.max_output_tokens or settings.max_output_tokens),
    )


def shown_messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Messages as they are written down: each picture's data URL gives way to the SHA-256 of the URL."""
    shown = []
    for message in messages:
        parts = message["content"]
        if not isinstance(parts, str):
            parts = [part if part["type"] == "text" else _picture(part["image_url"]["url"]) for part in parts]
        shown.append({**message, "content": parts})
    return shown


def _picture(url: str) -> dict[str, str]:
    return {"type": "image_url", "sha256": hashlib.sha256(url.encode()).hexdigest()}
