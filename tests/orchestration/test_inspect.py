import json
from pathlib import Path

import pytest
from tiny_models import D_MODEL, N_LAYERS, tiny_model, tiny_tokenizer
from tiny_vision_models import tiny_vision_subject
from typer.testing import CliRunner, Result

from orchestration.cli import app
from sae.errors import AtlasError, ConfigError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ATLAS_CONFIG", raising=False)
    tiny_model("llama").save_pretrained(tmp_path / "mine")
    tiny_tokenizer("llama").save_pretrained(tmp_path / "mine")
    return tmp_path


def test_a_folder_is_inspected_without_a_config(folder: Path):
    facts = json.loads(_inspect("./mine", "--json").stdout)

    assert (facts["architecture"], facts["n_layers"], facts["d_model"]) == ("LlamaForCausalLM", N_LAYERS, D_MODEL)
    assert (facts["context_size"], facts["dtype"], facts["modalities"]) == (32, "float32", ["text", "code"])
    assert facts["special_tokens"] == {"<s>": 0}
    places = {place["hookpoint"]: place for place in facts["hookpoints"]}
    assert places["layers.1.mlp"]["module"] == "model.layers.1.mlp.down_proj"
    assert places["layers.1"]["shape"] == [D_MODEL]
    assert places["model.layers.1.mlp.gate_proj"]["shape"] == [32]
    assert not list(folder.glob(".atlas*"))


def test_people_read_a_table_and_how_much_it_leaves_out(folder: Path):
    text = _inspect("./mine").stdout
    whole = _inspect("./mine", "--all").stdout

    assert "LlamaForCausalLM" in text
    assert "layers.2.attn" in text
    assert "gate_proj" not in text
    assert "module paths, which are hookpoints too" in text
    assert "model.layers.0.mlp.gate_proj" in whole


def test_a_models_name_in_the_config_stands_for_its_source(folder: Path):
    (folder / "atlas.yaml").write_text(
        "models: {small: {source: mine, dtype: bfloat16}}\n"
        "corpora: {docs: {source: files, paths: ['*.txt']}}\n"
        "sites: [{model: small, hookpoint: layers.1, corpora: [docs]}]\n"
        "dictionaries: {topk: {architecture: topk, expansion: 2, k: 2, tokens: 1000}}\n"
    )

    assert json.loads(_inspect("small", "--json").stdout)["dtype"] == "bfloat16"
    assert json.loads(_models("list", "--json").stdout) == [{"model": "small", "source": "mine", "dtype": "bfloat16"}]
    assert isinstance(_inspect("small", "--revision", "abc").exception, ConfigError)


def test_a_vision_model_says_that_it_reads_pictures(folder: Path):
    tiny_vision_subject("llava", folder / "vision")

    facts = json.loads(_inspect("./vision/source", "--json").stdout)

    assert facts["modalities"] == ["text", "code", "image"]
    assert facts["hookpoints"][0]["module"] == "model.language_model.layers.0"


@pytest.mark.parametrize("model", ["./nowhere", "package://no_such_package/x.gguf", "nowhere.gguf"])
def test_what_is_not_there_is_told(folder: Path, model: str):
    assert isinstance(_inspect(model).exception, AtlasError)


def test_a_broken_config_is_told(folder: Path):
    (folder / "atlas.yaml").write_text("models: 3\n")

    assert isinstance(_inspect("./mine").exception, ConfigError)


def _inspect(*arguments: str) -> Result:
    return _models("inspect", *arguments)


def _models(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["models", *arguments])
