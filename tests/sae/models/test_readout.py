import pytest
import torch
from tiny_models import tiny_subject

from sae.errors import AtlasError
from sae.models.readout import readout, written_by
from sae.models.subject import Subject, unembedding


def test_in_the_residual_stream_it_is_the_unembedding(llama: Subject) -> None:
    for hookpoint in ("layers.1", "layers.1.mlp", "layers.0.attn"):
        assert torch.equal(readout(llama, hookpoint), unembedding(llama))


@pytest.mark.parametrize(
    ("family", "neurons", "writer"),
    [
        ("gpt_neox", "gpt_neox.layers.1.mlp.act", "gpt_neox.layers.1.mlp.dense_4h_to_h"),
        ("gpt2", "transformer.h.1.mlp.act", "transformer.h.1.mlp.c_proj"),
    ],
)
def test_neurons_are_written_through_the_mlps_last_map(family: str, neurons: str, writer: str, tmp_path) -> None:
    subject = tiny_subject(family, tmp_path)
    weight = subject.module.get_parameter(f"{writer}.weight")
    down = weight.T if family == "gpt_neox" else weight  # GPT-2's Conv1D keeps [in, out]
    direction = torch.randn(len(down), generator=torch.Generator().manual_seed(0))

    torch.testing.assert_close(written_by(subject, neurons), down, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(
        readout(subject, neurons) @ direction, unembedding(subject) @ (direction @ down), atol=1e-5, rtol=1e-4
    )


def test_a_gated_mlps_activations_have_no_readout(llama: Subject) -> None:
    with pytest.raises(AtlasError, match="no logit weights"):
        readout(llama, "model.layers.1.mlp.act_fn")
