"""Telling somebody that a refresh failed, or that a gate kept a candidate out: by webhook, by mail, or not at all."""

import json
import os
import smtplib
import ssl
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from email.message import EmailMessage
from http.client import HTTPException, HTTPMessage
from typing import IO, Literal

from orchestration.moments import utc_now
from orchestration.partitions import Cell
from orchestration.refs import read_ref
from sae.config.operations import AlertConfig, EmailConfig
from sae.storage import Store

TOKEN_VARIABLE = "ATLAS_WEBHOOK_TOKEN"
"""Environment variable of the token that a webhook gets as `Authorization: Bearer …`."""
PASSWORD_VARIABLE = "ATLAS_SMTP_PASSWORD"
"""Environment variable of the mail server's password."""
_MOST_LINES = 20
"""Events that a mail or a webhook's text names; the JSON has them all."""


@dataclass(frozen=True)
class Event:
    """Something that somebody should know."""

    kind: Literal["failed", "kept out"]
    asset: str | None
    """None where the refresh as a whole failed."""
    partition: str | None
    reason: str

    def __str__(self) -> str:
        where = "the refresh" if self.asset is None else str(Cell(self.asset, self.partition))
        return f"{where} {'failed' if self.kind == 'failed' else 'kept a candidate out'}: {self.reason}"


def events_of(store: Store, made: Iterable[Cell], failed: dict[Cell, str]) -> list[Event]:
    """What a refresh has to tell: its failures, and the gates that went on with what they had."""
    events = [Event("failed", cell.asset, cell.partition, reason) for cell, reason in failed.items()]
    for cell in made:
        ref = read_ref(store, cell) if cell.asset == "dictionary" else None
        if ref and (rejected := ref.facts.get("rejected")):
            events.append(
                Event("kept out", cell.asset, cell.partition, f"{rejected['candidate']} {rejected['because']}")
            )
    return events


def alert(config: AlertConfig, trigger: str, events: Sequence[Event]) -> list[str]:
    """Send some events wherever the config says; what went wrong with that, in words.

    A server that does not answer fails no refresh: its fault is returned, never raised.
    """
    if not events:
        return []
    subject = f"Feature Atlas: {' '.join(trigger.split())}: {len(events)} to look at"
    lines = [str(event) for event in events[:_MOST_LINES]]
    if len(events) > _MOST_LINES:
        lines.append(f"and {len(events) - _MOST_LINES} more")
    text = "\n".join([subject, *lines])
    faults = []
    if config.webhook is not None:
        facts = {"text": text, "trigger": trigger, "at": utc_now(), "events": [asdict(event) for event in events]}
        address = config.webhook
        faults += _tried("webhook", lambda: _post(address, facts, config.timeout_s))
    if config.email is not None:
        email = config.email
        faults += _tried("mail", lambda: _mail(email, subject, text, config.timeout_s))
    return faults


def _tried(what: str, send: Callable[[], object]) -> list[str]:
    try:
        send()
    except (OSError, HTTPException, smtplib.SMTPException, ValueError) as error:
        return [f"the alert by {what} was not sent: {type(error).__name__}: {' '.join(str(error).split())[:200]}"]
    return []


def _post(address: str, facts: dict[str, object], timeout_s: float) -> None:
    headers = {"Content-Type": "application/json", "User-Agent": "feature-atlas"}
    if token := os.environ.get(TOKEN_VARIABLE):
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(address, json.dumps(facts, ensure_ascii=False).encode(), headers, method="POST")
    # Nobody is redirected: the token is for the address in the config alone.
    with urllib.request.build_opener(_NoRedirect).open(request, timeout=timeout_s):
        pass


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage
    ) -> None:
        return None

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _mail(config: EmailConfig, subject: str, text: str, timeout_s: float) -> None:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = subject, config.sender, ", ".join(config.to)
    message.set_content(text)
    with smtplib.SMTP(config.host, config.port, timeout=timeout_s) as server:
        if config.starttls:
            server.starttls(context=ssl.create_default_context())
        if config.user is not None:
            server.login(config.user, os.environ.get(PASSWORD_VARIABLE, ""))
        server.send_message(message)
