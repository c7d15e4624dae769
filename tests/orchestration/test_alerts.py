"""Alerts: who is told what, by real servers on loopback; a server that fails makes nothing else fail."""

import base64
import email
import email.policy
import json
from email.message import EmailMessage

import pytest
from alert_servers import http_server, smtp_server

from orchestration.alerts import PASSWORD_VARIABLE, TOKEN_VARIABLE, Event, alert, events_of
from orchestration.partitions import Cell
from orchestration.refs import Ref, write_ref
from sae.config.operations import AlertConfig
from sae.storage import Store

PAIR = "lm.layers.3.small"
EVENTS = [
    Event("failed", "activations", "world-00000|lm.layers.3", "the disk is full\r\nBcc: everybody@example.org"),
    Event("kept out", "dictionary", PAIR, "abcd fvu_below: 0.9 against 0.3"),
]


def webhook(port: int, path: str = "/hook") -> AlertConfig:
    return AlertConfig(webhook=f"http://127.0.0.1:{port}{path}", timeout_s=10)


def mail(port: int, **more: object) -> AlertConfig:
    section = {"host": "127.0.0.1", "port": port, "starttls": False, "sender": "atlas@example.org"}
    return AlertConfig.model_validate({"email": section | {"to": ["ada@example.org", "bo@example.org"]} | more})


def message(text: str) -> EmailMessage:
    return email.message_from_string(text, policy=email.policy.default)  # type: ignore[return-value]


def test_a_webhook_gets_asset_partition_and_reason_as_json(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(TOKEN_VARIABLE, "a token")

    with http_server() as received:
        faults = alert(webhook(received.port), "nightly", EVENTS)

    assert faults == []
    ((path, headers, body),) = received.requests
    said = json.loads(body)
    assert path == "/hook"
    assert headers["Authorization"] == "Bearer a token"
    assert headers["Content-Type"] == "application/json"
    assert said["trigger"] == "nightly"
    assert [(e["kind"], e["asset"], e["partition"], e["reason"]) for e in said["events"]] == [
        (e.kind, e.asset, e.partition, e.reason) for e in EVENTS
    ]
    assert f"dictionary[{PAIR}] kept a candidate out: abcd fvu_below" in said["text"]


def test_a_mail_goes_to_everybody_and_no_text_becomes_a_header(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(PASSWORD_VARIABLE, "open sesame")

    with smtp_server() as received:
        config = mail(received.port)
        assert config.email is not None
        config = config.model_copy(update={"email": config.email.model_copy(update={"user": "atlas"})})
        faults = alert(config, "nightly\r\nBcc: x@example.org", EVENTS)

    assert faults == []
    ((sender, to, text),) = received.mails
    said = message(text)
    assert (sender, to) == ("atlas@example.org", ["ada@example.org", "bo@example.org"])
    assert said["Subject"] == "Feature Atlas: nightly Bcc: x@example.org: 2 to look at"
    assert said["Bcc"] is None
    assert "activations[world-00000|lm.layers.3] failed: the disk is full" in said.get_content()
    assert base64.b64decode(received.logins[0]).split(b"\0")[1:] == [b"atlas", b"open sesame"]


def test_no_token_and_no_login_are_sent_where_there_are_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)

    with http_server() as hook, smtp_server() as mails:
        assert alert(webhook(hook.port), "x", EVENTS) == alert(mail(mails.port), "x", EVENTS) == []

    assert "Authorization" not in hook.requests[0][1]
    assert mails.logins == []


def test_nobody_is_told_by_default_or_of_nothing():
    with http_server() as received:
        assert alert(AlertConfig(), "x", EVENTS) == []
        assert alert(webhook(received.port), "x", []) == []

    assert received.requests == []


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_webhook_that_refuses_is_a_fault_in_words(status: int):
    with http_server(status) as received:
        (fault,) = alert(webhook(received.port), "x", EVENTS)

    assert fault.startswith("the alert by webhook was not sent: HTTPError")
    assert str(status) in fault


def test_nobody_is_redirected(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(TOKEN_VARIABLE, "a token")

    with http_server() as other, http_server(302, f"http://127.0.0.1:{other.port}/") as received:
        (fault,) = alert(webhook(received.port), "x", EVENTS)

    assert "302" in fault
    assert other.requests == []


def test_a_server_that_is_not_there_or_refuses_is_a_fault_and_the_other_is_told():
    with smtp_server(refuse=True) as refusing, http_server() as gone:
        pass
    with smtp_server(refuse=True) as refusing:
        (fault,) = alert(mail(refusing.port), "x", EVENTS)
    with smtp_server() as mails:
        both = mail(mails.port).model_copy(update={"webhook": f"http://127.0.0.1:{gone.port}/"})
        (other,) = alert(both, "x", EVENTS)

    assert fault.startswith("the alert by mail was not sent: SMTPRecipientsRefused")
    assert other.startswith("the alert by webhook was not sent")
    assert len(mails.mails) == 1


def test_many_events_make_one_message():
    many = [Event("failed", "corpus", f"c-{number}", "no") for number in range(50)]

    with http_server() as received:
        alert(webhook(received.port), "x", many)

    ((_, _, body),) = received.requests
    assert len(json.loads(body)["events"]) == 50
    assert "and 30 more" in json.loads(body)["text"]


def test_events_are_failures_and_gates_that_went_on_with_what_they_had(tmp_path):
    store = Store(str(tmp_path))
    kept = Ref("dictionary", PAIR, "old", "key", "1", {}, {}, {"rejected": {"candidate": "new", "because": "fvu"}})
    took = Ref("dictionary", "lm.layers.3.large", "new", "key", "1", {}, {}, {"accepted": True})
    for ref in (kept, took):
        write_ref(store, ref)

    events = events_of(store, [kept.cell, took.cell, Cell("labels", PAIR)], {Cell("corpus", "c-1"): "why"})

    assert events == [Event("failed", "corpus", "c-1", "why"), Event("kept out", "dictionary", PAIR, "new fvu")]


@pytest.mark.parametrize(
    "section",
    [
        {"webhook": "ftp://x"},
        {"webhook": "https://user:secret@x.org/"},
        {"email": {"host": "x", "sender": "nobody", "to": ["a@b.c"]}},
        {"email": {"host": "x", "sender": "a@b.c", "to": []}},
        {"email": {"host": "x", "sender": "a@b.c", "to": ["a@b.c\nBcc: x@y.z"]}},
        {"email": {"host": "x", "sender": "a@b.c", "to": ["a@b.c"], "password": "secret"}},
    ],
)
def test_a_wrong_section_is_refused(section):
    with pytest.raises(ValueError, match=r"webhook|email"):
        AlertConfig.model_validate(section)
