"""A model that predicts no next token, a masked one and a bare encoder: its dictionaries are judged without a loss."""

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_models import SENTENCES, tiny_model, tiny_tokenizer
from tiny_pipeline import atlas, run, write_config

from orchestration.partitions import Cell
from orchestration.refs import read_ref
from orchestration.runner import Outcome
from orchestration.summary import summary
from sae.catalog import open_catalog
from sae.config import load_workspace
from sae.storage import Store

UNMEASURED = "not measured, for the model predicts no next token"


@pytest.fixture(params=["bert", "t5"], scope="module")
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """The whole pipeline at one site of an encoder, with a gate that no loss recovered could pass."""
    tmp_path = tmp_path_factory.mktemp(request.param)
    tiny_model(request.param).save_pretrained(tmp_path / "model")
    tiny_tokenizer(request.param).save_pretrained(tmp_path / "model")
    rows = [{"text": f"{SENTENCES[number % 2]} {number}"} for number in range(40)]
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, rows)))

    def edit(config: dict[str, Any]) -> None:
        config["models"] = {"encoder": {"source": "model"}}
        config["corpora"] = {"texts": {"source": "files", "paths": ["texts.jsonl"], "shards": 2}}
        config["sites"] = [{"model": "encoder", "hookpoint": "layers.1", "corpora": ["texts"]}]
        config["dictionaries"] = {"small": {"architecture": "topk", "latents": 20, "k": 4, "tokens": 20_000}}
        config["checks"]["loss_recovered"] = 1.0
        config["prompts"] = []
        config["scorers"] = ["rule"]
        config["steering"] = {"max_features": 1, "prompts": []}

    config = write_config(tmp_path, edit)
    return config, run(config)


def test_its_dictionary_passes_the_gate_without_a_loss(made: tuple[Path, Outcome]):
    config, outcome = made

    workspace = load_workspace(config)
    ref = read_ref(Store(workspace.store), Cell("dictionary", "encoder.layers.1.small"))
    assert not outcome.failed
    assert ref is not None
    assert ref.facts["quality"]["fvu"] is not None
    assert ref.facts["quality"]["loss_recovered"] is None
    assert ref.facts["quality"]["ce_original"] is None
    check = next(one for one in candidate_checks(config) if one["name"] == "loss_recovered_above")
    assert (check["passed"], check["value"], check["note"]) == (True, None, UNMEASURED)
    with open_catalog(Store(workspace.store)) as catalog:
        row = catalog.sql("select * from dictionaries").row(0, named=True)
        assert (row["is_current"], row["loss_recovered"], row["ce_delta"]) == (True, None, None)
        measured = catalog.sql("select value, n from evaluation where metric = 'loss_recovered'").rows()
        assert measured == [(None, 0)]
    assert f"loss recovered {UNMEASURED}" in summary(workspace)


@pytest.mark.parametrize("command", [("attribute", "a text", "--target", "text"), ("steer", "0", "a text")])
def test_what_asks_for_a_continuation_is_refused_in_words(command: tuple[str, ...], made: tuple[Path, Outcome]):
    config, _ = made
    ref = read_ref(Store(load_workspace(config).store), Cell("dictionary", "encoder.layers.1.small"))
    assert ref is not None
    words = [f"{ref.data_version}:0" if word == "0" else word for word in command]
    more = ["--strength", "2"] if command[0] == "steer" else []

    refused = atlas(config, *words, *more)

    assert refused.returncode == 1
    assert "encoder predicts no next token" in refused.stderr


def candidate_checks(config: Path) -> list[dict[str, Any]]:
    """The checks that the candidate carries."""
    ref = read_ref(Store(load_workspace(config).store), Cell("dictionary_candidate", "encoder.layers.1.small"))
    assert ref is not None
    return ref.facts["checks"]
