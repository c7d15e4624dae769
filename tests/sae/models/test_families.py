"""Every family of transformers models is read at the same places, found by structure."""

import sys
from typing import Any

import pytest
import torch
from tiny_models import CONTEXT, D_MODEL, ENCODERS, FAMILIES, MORE_FAMILIES, N_LAYERS, SENTENCES, tiny_subject
from torch import Tensor, nn
from transformers import BertConfig, BertLMHeadModel

from sae.errors import AtlasError
from sae.models.heads import predicts_next
from sae.models.hookpoints import hook_module, list_hookpoints, read_outputs, replaced_output
from sae.models.subject import Subject, collate, final_norm

_BY_HAND = {
    "gpt2": ("transformer.h.1.attn", "transformer.h.1.mlp"),
    "gpt_neox": ("gpt_neox.layers.1.attention", "gpt_neox.layers.1.mlp"),
    "llama": ("model.layers.1.self_attn", "model.layers.1.mlp"),
    "gemma2": ("model.layers.1.self_attn", "model.layers.1.mlp"),
    "gemma3": ("model.layers.1.self_attn", "model.layers.1.mlp"),
    "qwen2": ("model.layers.1.self_attn", "model.layers.1.mlp"),
    "qwen3": ("model.layers.1.self_attn", "model.layers.1.mlp"),
    "mistral": ("model.layers.1.self_attn", "model.layers.1.mlp"),
    "mixtral": ("model.layers.1.self_attn", "model.layers.1.mlp"),
    "phi": ("model.layers.1.self_attn", "model.layers.1.mlp"),
    "phi3": ("model.layers.1.self_attn", "model.layers.1.mlp"),
    "opt": ("model.decoder.layers.1.self_attn", "model.decoder.layers.1.fc2"),
    "bloom": ("transformer.h.1.self_attention.dense", "transformer.h.1.mlp.dense_4h_to_h"),
    "falcon": ("transformer.h.1.self_attention", "transformer.h.1.mlp"),
    "bert": ("bert.encoder.layer.1.attention.output.dense", "bert.encoder.layer.1.output.dense"),
    "roberta": ("roberta.encoder.layer.1.attention.output.dense", "roberta.encoder.layer.1.output.dense"),
    "distilbert": ("distilbert.transformer.layer.1.attention", "distilbert.transformer.layer.1.ffn"),
    "t5": ("encoder.block.1.layer.0.SelfAttention", "encoder.block.1.layer.1.DenseReluDense"),
}
_NORMALISED_PARTS = ("gemma2", "gemma3", "bert", "roberta", "distilbert")
"""Families that normalise between a part and the residual stream."""


@pytest.fixture(scope="module", params=FAMILIES + MORE_FAMILIES)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Subject]:
    return request.param, tiny_subject(request.param, tmp_path_factory.mktemp(request.param))


def test_an_encoder_predicts_no_next_token(family: tuple[str, Subject]):
    name, subject = family

    assert subject.predicts_next == (name not in ENCODERS)


def test_a_causal_head_on_an_encoder_reads_both_ways_unless_it_is_a_decoder():
    sizes: dict[str, Any] = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 8}

    found = [
        predicts_next(BertLMHeadModel(BertConfig(**sizes, vocab_size=9, is_decoder=decoder)))
        for decoder in (False, True)
    ]

    assert found == [False, True]


def test_a_block_is_what_the_model_reports_as_its_hidden_state(family: tuple[str, Subject]):
    name, subject = family
    batch = _batch(subject)

    read = read_outputs(subject, batch, [f"layers.{n}" for n in range(N_LAYERS)])

    module: Any = subject.module
    states = module(**batch, output_hidden_states=True).hidden_states
    real = batch["attention_mask"].bool()
    for n in range(N_LAYERS - 1):
        torch.testing.assert_close(read[f"layers.{n}"][real], states[n + 1][real])
    # The last entry of the model's own list comes after the final norm, where the family has one; the hookpoint before.
    last = read[f"layers.{N_LAYERS - 1}"]
    norm = nn.Identity() if name in ("bert", "roberta", "distilbert") else final_norm(subject.module)
    torch.testing.assert_close(norm(last)[real], states[-1][real], atol=1e-5, rtol=1e-4)


def test_parts_are_what_hand_written_hooks_see(family: tuple[str, Subject]):
    name, subject = family
    batch = _batch(subject)
    seen: dict[str, Tensor] = {}
    handles = [subject.module.get_submodule(path).register_forward_hook(_keep(seen, path)) for path in _BY_HAND[name]]

    read = read_outputs(subject, batch, ["layers.1.attn", "layers.1.mlp", "layers.1"])

    for handle in handles:
        handle.remove()
    attention, mlp = _BY_HAND[name]
    torch.testing.assert_close(read["layers.1.attn"], seen[attention])
    torch.testing.assert_close(read["layers.1.mlp"], seen[mlp])


def test_parts_add_up_to_what_the_block_changes(family: tuple[str, Subject]):
    name, subject = family
    if name in _NORMALISED_PARTS:
        pytest.skip("this family normalises what a part adds")

    read = read_outputs(subject, _batch(subject), ["layers.0", "layers.1.attn", "layers.1.mlp", "layers.1"])

    added = read["layers.1.attn"] + read["layers.1.mlp"]
    torch.testing.assert_close(read["layers.1"] - read["layers.0"], added, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("hookpoint", ["layers.1", "layers.1.attn", "layers.1.mlp"])
def test_a_replaced_output_changes_what_follows(family: tuple[str, Subject], hookpoint: str):
    name, subject = family
    batch = _batch(subject)
    before = _result(subject, batch)
    module = hook_module(subject, hookpoint)
    if (name, hookpoint) == ("opt", "layers.1.mlp"):  # Its MLP sees the positions of all rows in one dimension.
        with pytest.raises(AtlasError, match="cannot be replaced"), replaced_output(module, torch.zeros_like):
            _result(subject, batch)
        return

    with torch.no_grad(), replaced_output(module, lambda x: x + 0):
        same = _result(subject, batch)
    with torch.no_grad(), replaced_output(module, torch.zeros_like):
        zeroed = _result(subject, batch)

    torch.testing.assert_close(same, before, atol=0, rtol=0)
    assert not torch.allclose(zeroed, before)


def test_every_family_lists_its_blocks_and_their_parts(family: tuple[str, Subject]):
    known = list_hookpoints(family[1])

    for n in range(N_LAYERS):
        for hookpoint in (f"layers.{n}", f"layers.{n}.attn", f"layers.{n}.mlp"):
            assert known[hookpoint] == (D_MODEL,)


def test_context_and_control_tokens_are_known(family: tuple[str, Subject]):
    name, subject = family

    encoded = subject.codec.encode(SENTENCES[0])

    stated = {"bloom": sys.maxsize, "falcon": CONTEXT, "t5": sys.maxsize}.get(name, CONTEXT)
    assert subject.codec.context_size == stated
    assert encoded.special[0]
    assert bool(encoded.special[-1]) == (name in ENCODERS)


def _batch(subject: Subject) -> dict[str, Tensor]:
    return collate(subject, [subject.codec.encode(text) for text in SENTENCES[:2]])


def _result(subject: Subject, batch: dict[str, Tensor]) -> Tensor:
    output: Any = subject.module(**batch)
    return output[0]


def _keep(seen: dict[str, Tensor], path: str) -> Any:
    def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
        seen[path] = (output[0] if isinstance(output, tuple) else output).clone().reshape(2, -1, D_MODEL)

    return hook
