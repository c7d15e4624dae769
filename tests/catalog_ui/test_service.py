"""The pages' client of the inference service: what it asks, whom it asks, and what it says where there is no answer."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from service_server import TOKEN, served, tell

from catalog_ui.answers import Steered
from catalog_ui.service import NoServiceError, UnansweredError, ask, standing_service
from orchestration.serving.application import NotCurrentError
from sae.errors import AtlasError, DamagedFileError

ANSWER = {
    "dictionary_id": "d",
    "text": "Fact :",
    "features": [{"feature_id": "d:1", "strength": 5, "held_at": 36.0}],
    "unsteered": "The state",
    "steered": "日本 <b>",
    "logit_shift": -1.5,
}
ERRORS = {
    "wrong": AtlasError("Give a text."),
    "replaced": NotCurrentError("It was replaced."),
    "damaged": DamagedFileError("a.parquet is damaged."),
}


class Canned(ThreadingHTTPServer):
    """A server of any program: it keeps what it was asked, and answers every POST alike."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.health, self.status, self.headers, self.body = b'{"status": "ok"}', 200, {}, b""
        self.asked: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Canned  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self):
        self._reply(200, {}, self.server.health)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self._reply(self.server.status, self.server.headers, self.server.body)

    def _reply(self, status, headers, body):
        self.server.asked.append((self.path, self.headers["Authorization"]))
        if status == 0:
            return  # The connection is closed without a word.
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


@pytest.fixture
def canned() -> Iterator[Canned]:
    with Canned() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "state" / "service.json"


def _answer(asked):
    if asked["text"] in ERRORS:
        raise ERRORS[asked["text"]]
    return ANSWER | {"text": asked["text"]}


def test_a_question_is_asked_with_the_token_and_its_answer_is_read(file):
    with served({"/steer": _answer}) as url:
        answer = ask(standing_service(tell(file, url)), "/steer", {"text": "事実"}, Steered)

    assert (answer.text, answer.steered, answer.features[0].held_at) == ("事実", "日本 <b>", 36.0)


@pytest.mark.parametrize("kind", ERRORS)
def test_a_refused_question_is_told_in_the_services_own_words(kind, file):
    with served({"/steer": _answer}) as url, pytest.raises(UnansweredError) as refused:
        ask(standing_service(tell(file, url)), "/steer", {"text": kind}, Steered)

    assert str(refused.value) == str(ERRORS[kind])


def test_a_full_queue_is_told_in_the_services_own_words(canned, file):
    canned.status, canned.body = 503, b'{"error": "8 questions wait for the model. Ask again in 5 seconds."}'

    with pytest.raises(UnansweredError, match="8 questions wait"):
        ask(standing_service(tell(file, canned.url)), "/steer", {}, Steered)


def test_a_token_of_another_service_is_refused_and_none_is_shown(file):
    with served({"/steer": _answer}) as url:
        service = standing_service(tell(file, url, token="another"))
        with pytest.raises(UnansweredError) as refused:
            ask(service, "/steer", {"text": "x"}, Steered)

    assert "another" not in str(refused.value) + repr(service)
    assert TOKEN not in str(refused.value)


def test_without_a_file_no_service_stands(file):
    with pytest.raises(NoServiceError, match="No inference service stands"):
        standing_service(file)


def test_a_file_that_a_killed_service_left_is_told(file):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(NoServiceError) as error:
        standing_service(tell(file, f"http://127.0.0.1:{port}"))

    assert "it has ended" in str(error.value)
    assert str(file) in str(error.value)


@pytest.mark.parametrize("health", [b"", b"<html>", b'{"status": "well"}', b"[]"])
def test_another_program_at_that_port_is_not_asked(health, canned, file):
    canned.health = health

    with pytest.raises(NoServiceError, match="Something else"):
        standing_service(tell(file, canned.url))

    assert canned.asked == [("/health", None)]


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.1:80",
        "http://service.example:80",
        "http://127.0.0.1.example:80",
        "http://localhost@service.example:80",
        "http://0.0.0.0:80",
        "https://127.0.0.1:80",
        "file:///etc/passwd",
        "http://127.0.0.1",
    ],
)
def test_a_service_elsewhere_than_on_loopback_is_not_asked(url, file, monkeypatch):
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("asked"))

    with pytest.raises(NoServiceError, match="loopback alone"):
        standing_service(tell(file, url))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"url": 1, "token": "x"}',
        '{"url": "http://127.0.0.1:99999", "token": "x"}',
        '{"url": "http://127.0.0.1:x", "token": "x"}',
        '{"url": "http://[::1", "token": "x"}',
        '{"url": "http://127.0.0.1:80"}',
        '{"url": "http://127.0.0.1:80", "token": "x\\r\\nHost: evil"}',
        '{"url": "http://127.0.0.1:80", "token": ""}',
        json.dumps({"url": "http://127.0.0.1:80", "token": "x" * 5_000}),
    ],
)
def test_a_file_that_no_service_wrote_is_told(text, file):
    file.parent.mkdir()
    file.write_text(text)

    with pytest.raises(NoServiceError, match="is not what an inference service writes"):
        standing_service(file)


def test_a_redirect_is_not_followed(canned, file):
    canned.status, canned.headers = 307, {"Location": f"{canned.url}/elsewhere"}

    with pytest.raises(UnansweredError):
        ask(standing_service(tell(file, canned.url)), "/steer", {}, Steered)

    assert [path for path, _ in canned.asked] == ["/health", "/steer"]


def test_no_proxy_is_asked(canned, file, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, canned.url)

    with served({"/steer": _answer}) as url:
        ask(standing_service(tell(file, url)), "/steer", {"text": "x"}, Steered)

    assert canned.asked == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        json.dumps(ANSWER | {"steered": None}).encode(),
        json.dumps(ANSWER | {"logit_shift": float("nan")}).encode(),
        json.dumps(ANSWER | {"steered": "\ud800"}).encode(),
        json.dumps(ANSWER | {"features": [{"feature_id": "d:1"}]}).encode(),
        b"[" * 100_000,
        b"\xff",
    ],
)
@pytest.mark.parametrize("status", [200, 400])
def test_an_answer_of_another_shape_is_told(status, body, canned, file):
    canned.status, canned.body = status, body

    with pytest.raises(UnansweredError, match=f"status {status}"):
        ask(standing_service(tell(file, canned.url)), "/steer", {}, Steered)


def test_a_service_that_ends_in_the_middle_is_told(canned, file):
    canned.status = 0

    with pytest.raises(UnansweredError, match="has ended without an answer"):
        ask(standing_service(tell(file, canned.url)), "/steer", {}, Steered)


def test_an_answer_that_takes_too_long_is_told(file, monkeypatch):
    monkeypatch.setattr("catalog_ui.service.ANSWER_SECONDS", 0.05)
    go = threading.Event()

    with served({"/steer": lambda _: go.wait(30)}) as url:
        with pytest.raises(UnansweredError, match="has not answered within"):
            ask(standing_service(tell(file, url)), "/steer", {}, Steered)
        go.set()


def test_an_endless_answer_is_not_read_to_its_end(canned, file, monkeypatch):
    monkeypatch.setattr("catalog_ui.service.ANSWER_BYTES", 1_000)
    canned.body = b" " * 2_000

    with pytest.raises(UnansweredError):
        ask(standing_service(tell(file, canned.url)), "/steer", {}, Steered)
