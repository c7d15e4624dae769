"""A model that predicts no next token, a masked one and a bare encoder: its dictionaries are judged without a loss."""

from pathlib import Path
from typing import Any

import pytest
from tiny_models import SENTENCES, tiny_model, tiny_tokenizer
from tiny_pipeline import run, write_config

from orchestration.partitions import Cell
from orchestration.refs import read_ref
from orchestration.summary import summary
from sae.catalog import open_catalog
from sae.config import load_workspace
from sae.storage import Store

UNMEASURED = "not measured, for the model predicts no next token"


@pytest.fixture(params=["bert", "t5"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """One site of an encoder, and a gate that no loss recovered could pass."""
    tiny_model(request.param).save_pretrained(tmp_path / "model")
    tiny_tokenizer(request.param).save_pretrained(tmp_path / "model")
    (tmp_path / "texts").mkdir()
    for number in range(40):
        (tmp_path / "texts" / f"{number}.txt").write_text(f"{SENTENCES[number % 2]} {number}")

    def edit(made: dict[str, Any]) -> None:
        made["models"] = {"encoder": {"source": "model"}}
        made["corpora"] = {"texts": {"source": "files", "paths": ["texts/*.txt"], "shards": 2}}
        made["sites"] = [{"model": "encoder", "hookpoint": "layers.1", "corpora": ["texts"]}]
        made["dictionaries"] = {"small": {"architecture": "topk", "latents": 20, "k": 4, "tokens": 20_000}}
        made["checks"]["loss_recovered"] = 1.0
        made["prompts"] = []
        made["scorers"] = ["rule"]
        made["steering"] = {"max_features": 1, "prompts": []}

    return write_config(tmp_path, edit)


def test_its_dictionary_passes_the_gate_without_a_loss(config: Path):
    outcome = run(config)

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


def candidate_checks(config: Path) -> list[dict[str, Any]]:
    """The checks that the candidate carries."""
    ref = read_ref(Store(load_workspace(config).store), Cell("dictionary_candidate", "encoder.layers.1.small"))
    assert ref is not None
    return ref.facts["checks"]
