import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from sae.causal.answer import Answer
from sae.dictionaries.dictionary import Dictionary
from sae.evaluation.agreement import Asked, attribution_agreement
from sae.models.encoding import Encoded
from sae.models.subject import Subject, freeze


class NumberCodec:
    vocabulary_size = 20
    context_size = 16
    pad_id = 0


def prompt(ids: list[int]) -> Encoded:
    n = len(ids)
    return Encoded(np.array(ids), [str(i) for i in ids], np.zeros((n, 2), int), np.zeros(n, bool), ["text"] * n)


@pytest.fixture
def subject() -> Subject:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=20, hidden_size=12, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2
    )
    module = freeze(LlamaForCausalLM(config))
    codec = NumberCodec()
    return Subject("tiny", "id", "Llama", module, codec, 2, 12, 1, ("text",), "test", None)  # pyright: ignore[reportArgumentType]


@pytest.fixture
def dictionary() -> Dictionary:
    decoder = torch.nn.functional.normalize(torch.randn(24, 12, generator=torch.Generator().manual_seed(0)), dim=1)
    return Dictionary(decoder.T.contiguous(), torch.zeros(24), decoder, torch.zeros(12), "standard")


def test_a_nearly_linear_model_agrees_with_itself_and_the_control_is_activation(
    subject: Subject, dictionary: Dictionary
):
    prompts = [Asked(prompt([1, 2, 3, n]), Answer((5,), (6,))) for n in range(4, 8)]
    found = attribution_agreement(subject, "layers.0", dictionary, prompts, seed=0)
    assert found.metric == "attribution_ablation_spearman"
    assert found.n == 4
    assert found.value is not None
    assert found.control is not None
    assert found.value > 0.6
    assert found.control < found.value
    assert found == attribution_agreement(subject, "layers.0", dictionary, prompts, seed=0)


def test_prompts_without_an_active_feature_are_left_out(subject: Subject, dictionary: Dictionary):
    silent = Dictionary(dictionary.W_enc, torch.full((24,), -1e6), dictionary.W_dec, dictionary.b_dec, "standard")
    found = attribution_agreement(subject, "layers.0", silent, [Asked(prompt([1, 2]), Answer((5,)))], seed=0)
    assert (found.value, found.n, found.details["left_out"]) == (None, 0, 1)
