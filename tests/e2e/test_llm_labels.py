"""Labels by a language model in the whole pipeline: what is asked again when, and what a small budget buys.

The server is the fault server on loopback; `test_llm_labels_served.py` has one that runs a model.
"""

import json
import os
from pathlib import Path

import pytest
from fault_server import FaultServer
from tiny_pipeline import SITE, atlas, made_since, run, write_config

from sae.catalog import open_catalog
from sae.config import load_workspace
from sae.storage import Store

PRICE = {"input": 0.15, "output": 0.60}
LABELED = {f"{asset}[{SITE}.{recipe}]" for asset in ("labels", "label_scores", "feature_map", "steering")
           for recipe in ("large", "small")}  # fmt: skip


def _labeler(server, **keys):
    return {
        "provider": "openai",
        "model": "m",
        "base_url": server.base_url,
        "budget_usd": 1.0,
        "price": PRICE,
        "max_output_tokens": 40,
        **keys,
    }


def _rows(folder: Path, query: str):
    with open_catalog(Store(str(folder / "store"))) as catalog:
        return catalog.sql(query).rows()


@pytest.fixture(scope="module")
def server():
    with FaultServer() as server:
        yield server


@pytest.fixture(scope="module")
def labelled(server, tmp_path_factory):
    """A workspace whose features were labelled offline first, then by the model as far as a small budget reaches."""
    folder = tmp_path_factory.mktemp("llm")
    config = write_config(folder)
    run(config)
    write_config(folder, lambda config: config.update(labeler=_labeler(server, budget_usd=0.002)))
    _, cursor = made_since(config, 0)
    outcome = run(config)
    assert not outcome.failed
    return folder, made_since(config, cursor)[0]


def test_another_labeler_labels_anew_and_trains_nothing(labelled):
    made = set(labelled[1])

    assert LABELED - made <= {f"steering[{SITE}.{recipe}]" for recipe in ("large", "small")}
    assert not {name for name in made if name.startswith(("dictionary", "activations", "features", "examples"))}
    assert "catalog" in made


def test_a_spent_budget_leaves_the_rest_their_labels_and_publishes_with_a_warning(labelled, server):
    folder, _ = labelled

    labelers = dict(_rows(folder, "select labeler, count(*) from current_labels group by all"))
    paid = _rows(folder, "select sum(cost_usd) from labels")[0][0]
    checks = _rows(folder, "select passed, severity from checks where name = 'budget_reaches_all'")
    assert labelers["openai"] == len(server.billed)
    assert labelers["lexical"] > 0
    assert 0 < paid <= 0.002
    assert (False, "WARN") in checks


def test_a_raised_budget_pays_for_the_rest_alone(labelled, server):
    folder, _ = labelled
    before = len(server.bodies)
    had = dict(_rows(folder, "select labeler, count(*) from current_labels group by all"))
    config = write_config(folder, lambda config: config.update(labeler=_labeler(server)))

    finished = atlas(config, "run")

    assert finished.returncode == 0, finished.stderr
    assert dict(_rows(folder, "select labeler, count(*) from current_labels group by all")) == {
        "openai": had["openai"] + had["lexical"]
    }
    assert len(server.bodies) - before == had["lexical"]
    assert "$" in finished.stderr
    assert {status for (status,) in _rows(folder, "select distinct status from labels")} == {"ok"}


@pytest.mark.slow
def test_back_to_the_first_labeler_its_labels_are_in_force_again_and_nothing_is_asked(server, tmp_path):
    config = write_config(tmp_path)
    run(config)
    current = "select feature_id, label_id from current_labels order by all"
    offline = _rows(tmp_path, current)
    write_config(tmp_path, lambda config: config.update(labeler=_labeler(server, model="other")))
    run(config)
    by_model = _rows(tmp_path, current)
    asked = len(server.billed)

    write_config(tmp_path)
    assert not run(config).failed
    back = _rows(tmp_path, current)
    write_config(tmp_path, lambda config: config.update(labeler=_labeler(server, model="other")))
    assert not run(config).failed

    assert not set(by_model) & set(offline)
    assert back == offline
    assert _rows(tmp_path, current) == by_model
    assert len(server.billed) == asked


def test_settings_that_change_no_label_make_nothing_stale(labelled, server):
    folder, _ = labelled
    config = write_config(folder, lambda config: config.update(labeler=_labeler(server)))
    run(config)
    _, cursor = made_since(config, 0)
    faster = _labeler(server, concurrency=2, timeout_s=9, retries=1, price={"input": 1, "output": 1})
    write_config(folder, lambda config: config.update(labeler=faster))

    run(config)

    assert made_since(config, cursor)[0] == []
    assert load_workspace(config).config.labeler.concurrency == 2


def test_the_key_is_in_no_file_of_the_workspace(labelled, monkeypatch):
    folder, _ = labelled
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-to-be-found")

    finished = atlas(folder / "atlas.yaml", "run")

    files = [file for file in folder.rglob("*") if file.is_file()]
    assert "sk-not" not in finished.stdout + finished.stderr
    assert not [file for file in files if b"sk-not-to-be-found" in file.read_bytes()]
    assert os.environ["OPENAI_API_KEY"]


def test_a_dry_run_says_what_the_rest_would_cost_and_asks_nothing(labelled, server):
    folder, _ = labelled
    config = write_config(folder, lambda config: config.update(labeler=_labeler(server, seed=1)))
    before = len(server.bodies)

    said = atlas(config, "label", "--dry-run", "--json")

    estimate = json.loads(said.stdout)
    alive = _rows(folder, "select count(*) from features where not is_dead")[0][0]
    assert (estimate["features"], estimate["answered"], estimate["requests"]) == (alive, 0, alive)
    assert 0 < estimate["cost_usd"] < estimate["most_usd"]
    assert estimate["seconds"] > 0
    assert len(server.bodies) == before


def test_a_feature_is_asked_about_anew_by_name(labelled, server):
    folder, _ = labelled
    config = write_config(folder, lambda config: config.update(labeler=_labeler(server)))
    feature = _rows(folder, "select feature_id from features where not is_dead order by 1")[0][0]
    before = len(server.bodies)

    finished = atlas(config, "label", feature, "--again")

    assert finished.returncode == 0, finished.stderr
    assert "1 labelled" in finished.stdout
    assert [body["seed"] for body in server.bodies[before:]] == [1]
    current = _rows(folder, f"select labeler, attempt from current_labels where feature_id = '{feature}'")
    assert current == [("openai", 2)]


@pytest.mark.parametrize(
    ("edit", "arguments", "said"),
    [
        ({"provider": "lexical"}, ["label"], "names no `model`"),
        ({}, ["label", "nobody:1"], "No current dictionary has a feature 'nobody:1'"),
        ({}, ["label", "--again"], "--again wants features by name"),
        ({"price": None}, ["label"], "needs `price`"),
    ],
)
def test_wrong_use_is_said_in_a_line(labelled, server, edit, arguments, said):
    folder, _ = labelled
    labeler = {"provider": "lexical"} if edit.get("provider") else {**_labeler(server), **edit}
    config = write_config(folder, lambda config: config.update(labeler=labeler))

    finished = atlas(config, *arguments)

    assert finished.returncode == 2
    assert said in finished.stderr
    assert "Traceback" not in finished.stderr
