from typing import Any

import pytest
import torch
from tiny_models import D_MODEL, N_LAYERS, SENTENCES
from torch import Tensor, nn

from sae.errors import AtlasError
from sae.models.hookpoints import hook_module, hookpoint_width, list_hookpoints, read_outputs, replaced_output
from sae.models.subject import Subject, collate, logits


def _batch(subject: Subject) -> dict[str, Tensor]:
    return collate(subject, [subject.codec.encode(text) for text in SENTENCES[:2]])


def test_blocks_are_read_as_the_model_itself_reports_them(subject: Subject):
    batch = _batch(subject)
    whole: Any = subject.module(**batch, output_hidden_states=True)

    read = read_outputs(subject, batch, ["layers.0", "layers.1"])

    # hidden_states[0] is the embedding; the last entry comes after the final norm, so the last block has none here.
    torch.testing.assert_close(read["layers.0"], whole.hidden_states[1])
    torch.testing.assert_close(read["layers.1"], whole.hidden_states[2])


def test_the_pass_stops_after_the_last_hookpoint(subject: Subject):
    called: list[int] = []
    handles = [
        hook_module(subject, f"layers.{n}").register_forward_hook(lambda *_, n=n: called.append(n))
        for n in range(N_LAYERS)
    ]
    try:
        read = read_outputs(subject, _batch(subject), ["layers.1", "layers.0"])
    finally:
        for handle in handles:
            handle.remove()

    assert list(read) == ["layers.1", "layers.0"]
    assert called == [0, 1]


def test_listing_names_blocks_first_and_their_width(subject: Subject):
    known = list_hookpoints(subject)

    parts = [f"layers.{n}.{part}" for n in range(N_LAYERS) for part in ("attn", "mlp")]
    assert list(known)[: 3 * N_LAYERS] == [f"layers.{n}" for n in range(N_LAYERS)] + parts
    assert {known[name] for name in list(known)[: 3 * N_LAYERS]} == {(D_MODEL,)}
    assert all(subject.module.get_submodule(path) for path in list(known)[3 * N_LAYERS :])


def test_a_raw_module_path_is_a_hookpoint(llama: Subject):
    read = read_outputs(llama, _batch(llama), ["model.layers.1.mlp", "layers.1"])

    assert read["model.layers.1.mlp"].shape == read["layers.1"].shape
    assert list_hookpoints(llama)["model.layers.1.mlp.gate_proj"] == (32,)


@pytest.mark.parametrize("name", ["layers.3", "layers.-1", "block.0", ""])
def test_an_unknown_hookpoint_is_told_which_there_are(subject: Subject, name: str):
    with pytest.raises(AtlasError, match=r"It has: layers\.0, layers\.1, layers\.2; and \d+ module paths"):
        read_outputs(subject, _batch(subject), [name])


def test_an_unknown_hookpoint_is_told_what_is_near(llama: Subject):
    with pytest.raises(AtlasError, match=r"Near it: .*layers\.1\.mlp"):
        read_outputs(llama, _batch(llama), ["layer.1.mlp"])
    with pytest.raises(AtlasError, match=r"Near it: model\.layers\.1\.mlp\.down_proj"):
        read_outputs(llama, _batch(llama), ["model.layers.1.mlp.downproj"])


def test_the_width_of_a_hookpoint_is_its_own(llama: Subject):
    assert hookpoint_width(llama, "layers.1.mlp") == D_MODEL
    assert hookpoint_width(llama, "model.layers.1.mlp.gate_proj") == 32


def test_replacing_by_the_same_changes_nothing(subject: Subject):
    batch = _batch(subject)
    before = logits(subject, batch)

    with replaced_output(hook_module(subject, "layers.1"), lambda x: x.clone()):
        same = logits(subject, batch)
    with replaced_output(hook_module(subject, "layers.1"), torch.zeros_like):
        other = logits(subject, batch)

    torch.testing.assert_close(same, before)
    assert not torch.allclose(other, before)
    torch.testing.assert_close(logits(subject, batch), before)


def test_a_tuple_keeps_its_other_parts():
    class Pair(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, str]:
            return x, "kept"

    module = Pair()
    with replaced_output(module, lambda x: x + 1):
        first, second = module(torch.zeros(1, 1, 1))

    assert first.item() == 1
    assert second == "kept"


def test_gradients_flow_to_a_hookpoint(llama: Subject):
    seen: list[Tensor] = []

    def watch(x: Tensor) -> Tensor:
        seen.append(x.detach().requires_grad_())
        return seen[-1]

    with replaced_output(hook_module(llama, "layers.0"), watch):
        logits(llama, _batch(llama))[0, -1, 5].backward()

    assert seen[0].grad is not None
    assert seen[0].grad.abs().sum() > 0
