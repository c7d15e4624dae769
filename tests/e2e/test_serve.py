"""The inference service as a process: it answers what the commands print, and those alone who know its token."""

import base64
import json
import os
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from service_client import Reply, ask
from tiny_pipeline import QUESTION, SITE, atlas, atlas_command, environment

from sae.config import SERVICE_FILE
from sae.models.pictures import encode_picture

pytestmark = pytest.mark.slow

LARGE = f"{SITE}.large"


@dataclass(frozen=True)
class Service:
    """A running service, and what it wrote about itself."""

    process: "subprocess.Popen[str]"
    file: Path
    mode: int
    url: str
    token: str

    def post(self, path: str, body: object) -> Reply:
        return ask(self.url, path, self.token, body)


def start(config: Path) -> Service:
    file = config.parent / "state" / SERVICE_FILE
    process = subprocess.Popen(
        atlas_command("serve"), env=environment(config), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    told = {}
    # A copied state folder holds the file of the service that stood when it was copied, as after a kill.
    while told.get("pid") != process.pid:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
        told = json.loads(file.read_text()) if file.exists() else {}
    return Service(process, file, stat.S_IMODE(file.stat().st_mode), told["url"], told["token"])


@pytest.fixture(scope="module")
def service(first_run) -> Iterator[Service]:
    """`atlas serve` on the first run, as a process of its own."""
    started = start(first_run.config)
    yield started
    started.process.terminate()
    started.process.communicate(timeout=60)


@pytest.fixture
def features(reading, command):
    """Two live features of the large dictionary."""
    query = """
        select feature_id from features join dictionaries using (dictionary_id)
        where recipe = 'large' and not is_dead and density < 0.5 order by density desc limit 2
    """
    return [row["feature_id"] for row in json.loads(command("sql", query, "--json").out)]


@pytest.fixture
def dictionary_id(reading) -> str:
    return reading.ref("dictionary", LARGE).data_version


def test_url_and_token_stand_in_a_file_that_its_owner_alone_reads(service):
    assert service.mode == 0o600
    assert service.url.startswith("http://127.0.0.1:")
    assert len(service.token) >= 32
    assert ask(service.url, "/health", None).status == 200


def test_a_token_is_asked_for_and_the_right_name(service, dictionary_id):
    body = {"dictionary_id": dictionary_id, "text": QUESTION}

    missing, wrong = (ask(service.url, "/activate", token, body) for token in (None, service.token[:-1]))
    elsewhere = ask(service.url, "/activate", service.token, body, Host="evil.example")

    assert (missing.status, wrong.status, elsewhere.status) == (401, 401, 403)


def test_activate_answers_what_the_command_prints(service, dictionary_id, command):
    printed = json.loads(command("activate", QUESTION, "--dictionary", LARGE, "--top", "3", "--json").out)

    replied = service.post("/activate", {"dictionary_id": dictionary_id, "text": QUESTION, "top": 3})

    assert replied.status == 200, replied.body
    assert replied.body == printed


@pytest.mark.parametrize("baseline", [None, "Albany"])
def test_attribute_answers_what_the_command_prints(baseline, service, dictionary_id, command):
    against = [] if baseline is None else ["--baseline", baseline]
    asked = ("attribute", QUESTION, "--target", "Sacramento", *against, "--dictionary", LARGE, "--json")
    printed = json.loads(command(*asked).out)

    replied = service.post(
        "/attribute", {"dictionary_id": dictionary_id, "text": QUESTION, "target": "Sacramento", "baseline": baseline}
    )

    assert replied.status == 200, replied.body
    assert replied.body == printed


def test_attribute_answers_the_way_as_the_command_writes_it(service, dictionary_id, command, tmp_path):
    path = tmp_path / "way.json"
    command("attribute", QUESTION, "--target", "Sacramento", "--dictionary", LARGE, "--graph", str(path))

    asked = {"dictionary_id": dictionary_id, "text": QUESTION, "target": "Sacramento"}
    replied = service.post("/attribute", asked | {"graph": True})

    assert replied.status == 200, replied.body
    assert replied.body["graph"] == json.loads(path.read_text(encoding="utf-8"))


def test_steering_two_features_answers_what_the_command_prints(service, dictionary_id, features, command):
    printed = command("steer", *features, QUESTION, "--strength", "5", "--strength=-2", "--tokens", "4", "--json")

    replied = service.post(
        "/steer",
        {
            "dictionary_id": dictionary_id,
            "text": QUESTION,
            "features": [
                {"feature_id": features[0], "strength": 5},
                {"feature_id": features[1], "strength": -2.0},
            ],
            "tokens": 4,
        },
    )

    assert replied.status == 200, replied.body
    assert replied.body == json.loads(printed.out)


def test_a_picture_in_the_prompt_is_read(service, dictionary_id, features, reading, command):
    images = reading.folder / "store" / "corpora" / "world" / "images"
    file = min(path for path in images.rglob("*") if path.is_file())
    printed = command("steer", features[0], "Fact :", "--strength", "5", "--image", str(file), "--json")

    replied = service.post(
        "/steer",
        {
            "dictionary_id": dictionary_id,
            "text": "Fact :",
            "features": [{"feature_id": features[0], "strength": 5}],
            "picture": base64.b64encode(file.read_bytes()).decode(),
        },
    )

    assert replied.status == 200, replied.body
    assert replied.body == json.loads(printed.out)


@pytest.mark.parametrize("name", ["0123456789abcdef", LARGE, "../../etc", "' or 1=1 --"])
def test_a_dictionary_that_is_not_current_is_refused(name, service, dictionary_id):
    replied = service.post("/activate", {"dictionary_id": name, "text": QUESTION})

    assert replied.status == 409
    assert dictionary_id in replied.body["error"]


@pytest.mark.parametrize(
    ("path", "change", "word"),
    [
        ("/activate", {"text": None}, "text"),
        ("/activate", {"text": ""}, "text"),
        ("/activate", {"text": "Fact : " * 10_000}, "text"),
        ("/activate", {"text": "Fact : " * 1_000}, "tokens"),
        ("/activate", {"text": "no-such-word-at-all"}, "no-such-word-at-all"),
        ("/activate", {"top": 0}, "top"),
        ("/activate", {"unknown": 1}, "unknown"),
        ("/attribute", {}, "target"),
        ("/attribute", {"target": "no-such-word-at-all"}, "no-such-word-at-all"),
        ("/steer", {"features": []}, "features"),
        ("/steer", {"features": [{"feature_id": "x", "strength": 1}]}, "dictionary_id"),
        ("/steer", {"features": [{"feature_id": "0123456789abcdef:1", "strength": 1}]}, "dictionary"),
        ("/steer", {"features": [{"feature_id": "{id}:999999", "strength": 1}]}, "999999"),
        ("/steer", {"features": [{"feature_id": "{id}:1", "strength": 1e9}]}, "strength"),
        ("/steer", {"features": [{"feature_id": "{id}:1", "strength": 1}] * 2}, "twice|two strengths"),
        ("/steer", {"features": [{"feature_id": "{id}:1", "strength": 1}], "tokens": 10**9}, "tokens"),
        ("/steer", {"features": [{"feature_id": "{id}:1", "strength": 1}], "picture": "%"}, "base64"),
        ("/steer", {"features": [{"feature_id": "{id}:1", "strength": 1}], "picture": "AAAA"}, "picture"),
    ],
)
def test_bad_input_is_refused_in_a_line_that_names_it(path, change, word, service, dictionary_id):
    asked = {"dictionary_id": dictionary_id, "text": QUESTION} | json.loads(
        json.dumps(change).replace("{id}", dictionary_id)
    )

    replied = service.post(path, asked)

    assert replied.status == 400, replied.body
    assert any(one in replied.body["error"] for one in word.split("|")), replied.body
    assert "Traceback" not in replied.body["error"]
    assert len(replied.body["error"]) < 500


def test_a_picture_that_would_fill_the_memory_is_refused_unread(service, dictionary_id):
    large = encode_picture(np.zeros((5_000, 5_000, 3), dtype=np.uint8))
    body = {"dictionary_id": dictionary_id, "text": "Fact :", "target": "Sacramento"}

    replied = service.post("/attribute", body | {"picture": base64.b64encode(large).decode()})

    assert replied.status == 400
    assert "pixels are too many" in replied.body["error"]


def test_a_second_service_on_the_same_state_is_refused(service, first_run):
    second = atlas(first_run.config, "serve")

    assert second.returncode == 1
    assert "stands on this state folder already" in second.stderr
    assert service.file.exists()


def test_a_state_folder_that_takes_no_file_is_told(place):
    (place.folder / "state" / SERVICE_FILE).unlink(missing_ok=True)
    (place.folder / "state" / SERVICE_FILE / "in the way").mkdir(parents=True)

    refused = atlas(place.config, "serve")

    assert refused.returncode == 1
    assert "could not be written" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_the_end_takes_the_file_away_and_leaves_no_word_of_a_fault(end, place):
    started = start(place.config)

    assert ask(started.url, "/health", None).status == 200
    started.process.send_signal(end)
    said = started.process.communicate(timeout=60)

    assert not started.file.exists()
    assert said[1] == ""
    assert said[0].count(started.token) == 1
    assert started.process.returncode == 0


def test_a_dictionary_that_was_replaced_is_refused_though_the_catalog_still_has_it(place):
    name, ref = place.ref("dictionary", LARGE).data_version, place.folder / "store" / "refs" / "dictionary"
    started = start(place.config)
    try:
        before = started.post("/activate", {"dictionary_id": name, "text": QUESTION})
        os.replace(ref / f"{SITE}.small.json", ref / f"{LARGE}.json")
        after = started.post("/activate", {"dictionary_id": name, "text": QUESTION})
    finally:
        started.process.terminate()
        started.process.communicate(timeout=60)

    assert (before.status, after.status) == (200, 409)
    assert "replaced" in after.body["error"]
