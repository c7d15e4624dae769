"""The service's HTTP side on a real socket, with answers that need no model."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from service_client import ask
from service_server import TOKEN, served

from orchestration.serving.application import QUEUE, NotCurrentError
from orchestration.serving.guard import BODY_BYTES
from sae.errors import AtlasError, DamagedFileError

ERRORS = {
    "wrong": AtlasError("Give a text."),
    "replaced": NotCurrentError("It was replaced."),
    "damaged": DamagedFileError("a.parquet is damaged."),
    "bug": RuntimeError("secret of the machine"),
}


def _answer(asked):
    if asked.get("fails") in ERRORS:
        raise ERRORS[asked["fails"]]
    return {"asked": asked}


class _Held:
    """An answer that waits until it is let go, and counts how many are at it."""

    def __init__(self):
        self.go, self.at_once, self.most = threading.Event(), 0, 0

    def __call__(self, asked):
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        self.go.wait(60)
        self.at_once -= 1
        return {}


@pytest.fixture
def held():
    return _Held()


@pytest.fixture
def url(held):
    with served({"/echo": _answer, "/held": held}) as url:
        yield url
        held.go.set()


def test_health_says_that_the_service_stands(url):
    replied = ask(url, "/health", None)

    assert (replied.status, replied.body) == (200, {"status": "ok", "standing": 0})


def test_a_question_is_answered_in_json_that_no_cache_keeps(url):
    replied = ask(url, "/echo", TOKEN, {"text": "日本"})

    assert (replied.status, replied.body) == (200, {"asked": {"text": "日本"}})
    assert replied.headers["content-type"] == "application/json"
    assert replied.headers["cache-control"] == "no-store"
    assert not any(name.startswith("access-control") or name == "server" for name in replied.headers)


@pytest.mark.parametrize("path", ["/echo", "/held", "/no-such-path"])
@pytest.mark.parametrize("token", [None, "", "another", f"{TOKEN}x", "ä"])
def test_without_the_token_nothing_is_answered(token, path, url):
    replied = ask(url, path, token, {})

    assert replied.status == 401
    assert replied.headers["www-authenticate"] == "Bearer"
    assert TOKEN not in str(replied.body)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost@evil", ""])
@pytest.mark.parametrize("path", ["/echo", "/health"])
def test_another_hosts_name_is_refused_whatever_the_token(host, path, url):
    replied = ask(url, path, TOKEN, None if path == "/health" else {}, Host=host)

    assert replied.status == 403


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:9000", "[::1]:9000"])
def test_loopback_by_any_name_and_port_is_this_service(host, url):
    assert ask(url, "/health", None, Host=host).status == 200


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
def test_what_a_form_can_post_is_refused(kind, url):
    assert ask(url, "/echo", TOKEN, b"{}", Content_Type=kind).status == 415


def test_a_page_elsewhere_is_not_allowed_to_ask(url):
    connection = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))
    with connection:
        connection.sendall(
            b"OPTIONS /echo HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n"
            b"Access-Control-Request-Headers: authorization,content-type\r\nConnection: close\r\n\r\n"
        )
        answer = b"".join(iter(lambda: connection.recv(65536), b""))

    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"access-control" not in answer.lower()


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[1]", b'"x"', b'{"a": NaN}', b"\xff", b'{"a": "\\ud800"}', b"[" * 100_000]
)
def test_a_body_that_is_no_json_object_is_refused_in_words(body, url):
    replied = ask(url, "/echo", TOKEN, body)

    assert replied.status == 400
    assert replied.body["error"].startswith("The body is no JSON")
    assert len(replied.body["error"]) < 500


def test_a_request_that_is_too_large_is_refused(url):
    assert ask(url, "/echo", TOKEN, b" " * (BODY_BYTES + 1)).status == 413


@pytest.mark.parametrize(("fails", "status"), [("wrong", 400), ("replaced", 409), ("damaged", 500)])
def test_a_fault_that_the_user_can_mend_is_told_in_its_words(fails, status, url):
    replied = ask(url, "/echo", TOKEN, {"fails": fails})

    assert (replied.status, replied.body) == (status, {"error": str(ERRORS[fails])})


def test_of_any_other_fault_nothing_leaves_the_process_but_that_it_was_one(url, capfd):
    replied = ask(url, "/echo", TOKEN, {"fails": "bug"})

    assert replied.status == 500
    assert "secret" not in str(replied.body)
    said = capfd.readouterr().err
    assert "RuntimeError: secret of the machine" in said
    assert "Traceback" not in said


def test_paths_and_methods_that_are_not_there_are_told(url):
    lost, wrong_method = ask(url, "/no-such-path", TOKEN), ask(url, "/echo", TOKEN)

    assert (lost.status, wrong_method.status) == (404, 405)
    assert "POST /echo" in lost.body["error"]


def test_one_question_is_answered_at_a_time_and_a_full_queue_says_when_to_come_again(url, held):
    with ThreadPoolExecutor(QUEUE) as clients:
        waiting = [clients.submit(ask, url, "/held", TOKEN, {}) for _ in range(QUEUE)]
        while ask(url, "/health", None).body["standing"] < QUEUE:
            time.sleep(0.02)
        refused = ask(url, "/held", TOKEN, {})
        held.go.set()
        answered = [one.result().status for one in waiting]

    assert refused.status == 503
    assert int(refused.headers["retry-after"]) > 0
    assert answered == [200] * QUEUE
    assert held.most == 1
    assert ask(url, "/health", None).body["standing"] == 0
