"""OpenLineage events as a server and a file get them."""

import json
import sys
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import polars as pl
import pytest

from orchestration.lineage_events import LineageEvents, event_run
from orchestration.partitions import Cell
from orchestration.refs import Ref
from sae.config import OpenLineageConfig, parse_config
from sae.errors import ConfigError
from sae.storage import Store

RUN = "7a3c1d0e-8f0b-4c57-9a55-0d8d5f1a2b3c"
CELL = Cell("neighbors", "site.large")
INPUTS = {"dictionary[site.large]": "d1", "features[site.large]": "f1"}


class Server:
    """Takes events on loopback and keeps them with their headers."""

    def __init__(self, answers: int = 201):
        received: list[tuple[str, dict[str, str], dict]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                received.append((self.path, dict(self.headers), json.loads(body)))
                self.send_response(answers)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Nothing on the terminal."""

        self.received = received
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def stored(tmp_path):
    """A table in a store, and its ref."""
    store = Store(str(tmp_path / "store"))
    with store.writing("tables/neighbors/d-1.parquet") as path:
        pl.DataFrame({"feature_id": ["d:0"], "neighbor_id": ["d:1"], "similarity": [0.5]}).write_parquet(path)
    files = {"neighbors": store.describe("tables/neighbors/d-1.parquet")}
    return store, Ref("neighbors", "site.large", "n1", "key", "1", INPUTS, files, {"dictionary_id": "d"}, RUN)


def test_a_server_gets_the_start_and_the_end_of_a_run_with_what_it_read_and_made(stored, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENLINEAGE_API_KEY", "secret")
    store, ref = stored
    with Server() as server:
        events = LineageEvents(OpenLineageConfig(url=server.url, namespace="here"), tmp_path, pytest.fail)
        events.started(CELL, RUN, INPUTS)
        events.completed(ref, RUN, store)

    (path, headers, start), (_, _, end) = server.received
    assert path == "/api/v1/lineage"
    assert headers["Authorization"] == "Bearer secret"
    assert [start["eventType"], end["eventType"]] == ["START", "COMPLETE"]
    assert start["run"]["runId"] == end["run"]["runId"] == event_run(RUN, CELL)
    assert uuid.UUID(start["run"]["runId"])
    assert start["run"]["facets"]["parent"]["run"]["runId"] == RUN
    assert (end["job"]["namespace"], end["job"]["name"]) == ("here", "neighbors")
    versions = {one["name"]: one["facets"]["version"]["datasetVersion"] for one in end["inputs"]}
    assert versions == INPUTS
    (output,) = end["outputs"]
    assert (output["namespace"], output["name"]) == ("here", "neighbors[site.large]")
    assert output["facets"]["version"]["datasetVersion"] == "n1"
    fields = {field["name"]: field["type"] for field in output["facets"]["schema"]["fields"]}
    assert fields == {"feature_id": "String", "neighbor_id": "String", "similarity": "Float64"}
    lineage = output["facets"]["columnLineage"]["fields"]["similarity"]["inputFields"]
    assert [(one["name"], one["field"]) for one in lineage] == [("dictionary[site.large]", "W_dec")]


def test_a_file_gets_one_event_a_line(stored, tmp_path):
    store, ref = stored
    events = LineageEvents(OpenLineageConfig(file="lineage/events.jsonl"), tmp_path, pytest.fail)

    events.started(CELL, RUN, INPUTS)
    events.failed(CELL, RUN, "fvu_below: 0.9 against 0.3")
    events.gave_nothing(Cell("dictionary", "site.large"), RUN)
    LineageEvents(OpenLineageConfig(file="lineage/events.jsonl"), tmp_path, pytest.fail).completed(ref, RUN, store)

    lines = [json.loads(line) for line in (tmp_path / "lineage" / "events.jsonl").read_text().splitlines()]
    assert [line["eventType"] for line in lines] == ["START", "FAIL", "ABORT", "COMPLETE"]
    assert lines[1]["run"]["facets"]["errorMessage"]["message"] == "fvu_below: 0.9 against 0.3"
    assert lines[2]["job"]["name"] == "dictionary"


def test_a_place_that_takes_nothing_is_said_once_and_stops_nothing(stored, tmp_path):
    store, ref = stored
    said: list[str] = []
    with Server(answers=400) as server:
        events = LineageEvents(OpenLineageConfig(url=server.url), tmp_path, said.append)
        events.started(CELL, RUN, INPUTS)
        events.completed(ref, RUN, store)

    assert len(server.received) == 1
    assert len(said) == 1
    assert "takes no events" in said[0]


def test_without_the_section_nothing_is_sent(stored, tmp_path):
    store, ref = stored
    events = LineageEvents(None, tmp_path, pytest.fail)

    events.started(CELL, RUN, INPUTS)
    events.completed(ref, RUN, store)

    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_without_the_client_the_config_is_refused_in_words(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("openlineage")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "openlineage", None)

    with pytest.raises(ConfigError, match=r"pip install 'feature-atlas\[openlineage\]'"):
        LineageEvents(OpenLineageConfig(file="events.jsonl"), tmp_path, pytest.fail)


@pytest.mark.parametrize("section", ["{}", "{url: 'http://h', file: x}", "{url: 'ftp://h'}", "{file: x, key: secret}"])
def test_a_wrong_section_is_refused(section):
    text = f"""
models: {{m: {{source: world}}}}
corpora: {{c: {{source: world}}}}
sites: [{{model: m, hookpoint: layers.3, corpora: [c]}}]
dictionaries: {{d: {{architecture: topk, latents: 8, k: 2, tokens: 1000}}}}
openlineage: {section}
"""
    with pytest.raises(ConfigError, match="openlineage"):
        parse_config(text.encode(), "atlas.yaml")
