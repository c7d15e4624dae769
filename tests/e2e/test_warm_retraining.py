"""A recipe that says `start: warm` is trained again from the dictionary that is current."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tiny_pipeline import SITE, write_config

from orchestration.partitions import Cell
from orchestration.refs import Ref, read_ref
from orchestration.runner import Outcome, open_session, refresh
from sae.config import load_workspace
from sae.storage import Store

pytestmark = pytest.mark.slow

PAIR = f"{SITE}.small"
UP_TO_THE_GATE = {
    *("subject_model", "hookpoints", "corpus", "activations", "activation_set"),
    *("dictionary_candidate", "dictionary"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose one recipe has been trained."""

    def small_alone(config: dict[str, Any]) -> None:
        config["models"]["world-lm"]["steps"] = 2
        config["dictionaries"].pop("large")

    write_config(tmp_path, small_alone)
    assert retrain(tmp_path).failed == {}
    return tmp_path


def retrain(folder: Path, model: dict[str, Any] | None = None, **recipe: Any) -> Outcome:
    """Change the recipe `small`, or the model, and make everything up to the gate."""
    config = folder / "atlas.yaml"
    settings = yaml.safe_load(config.read_text())
    settings["dictionaries"]["small"].update(recipe)
    settings["models"]["world-lm"].update(model or {})
    config.write_text(yaml.safe_dump(settings, allow_unicode=True))
    session = open_session(load_workspace(config))
    return refresh(session, trigger="test", select=lambda cell: cell.asset in UP_TO_THE_GATE)


def current(folder: Path) -> Ref:
    ref = read_ref(Store(str(folder / "store")), Cell("dictionary", PAIR))
    assert ref is not None
    return ref


def provenance(folder: Path, dictionary_id: str) -> dict[str, Any]:
    return json.loads((folder / "store" / "dictionaries" / dictionary_id / "provenance.json").read_text())


def test_it_goes_on_from_the_current_dictionary_and_names_it(folder):
    before = current(folder)

    outcome = retrain(folder, start="warm", learning_rate=1e-4)

    assert outcome.failed == {}
    after = current(folder)
    assert after.data_version != before.data_version
    assert before.facts["parent"] is None
    assert after.facts["parent"]["dictionary_id"] == before.data_version
    assert after.facts["parent"]["build_key"] == before.facts["build_key"]
    assert after.facts["build_key"] not in (after.build_key, before.facts["build_key"])
    told, of_parent = provenance(folder, after.data_version), provenance(folder, before.data_version)
    assert told["parent"] == after.facts["parent"]
    start, end = (of_parent["history"][place]["fvu"] for place in (0, -1))
    assert told["history"][0]["fvu"] < end + 0.25 * (start - end), "it starts where its parent ended"
    assert retrain(folder).made == []


def test_a_dictionary_of_another_shape_or_model_is_refused_in_words(folder):
    before = current(folder)

    of_shape = retrain(folder, start="warm", latents=21)
    of_model = retrain(folder, {"steps": 3}, latents=20)

    refused = f"{before.data_version} cannot be the start of this training: its"
    words = of_shape.failed[Cell("dictionary_candidate", PAIR)]
    assert f"{refused} number of latents is 20, not 21. Set `start: fresh`" in words
    assert f"{refused} model is {before.facts['model']['model_id']}, not" in str(of_model.failed)
    assert current(folder).data_version == before.data_version


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_gpu_that_is_wanted_and_not_there_is_said(folder):
    outcome = retrain(folder, {"device": "cuda"}, k=3)

    words = outcome.failed[Cell("dictionary_candidate", PAIR)]
    assert words == "`device: cuda` is wanted, but there is no CUDA device. Set `device: auto` or `cpu`."
