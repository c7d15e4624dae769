"""Small models with known answers, and a dictionary over them."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from sae.dictionaries.dictionary import Dictionary
from sae.errors import AtlasError
from sae.models.encoding import Encoded, Modality
from sae.models.subject import Subject, count_parameters, freeze

WORDS = ["<s>", *"abcdefghijklmnopqrs"]
D_MODEL = 12


class LetterCodec:
    """One token a word; every document begins with a special one."""

    vocabulary_size = len(WORDS)
    context_size = 16
    pad_id = 0
    special_tokens = {"<s>": 0}  # noqa: RUF012

    def encode(self, text: str, image: np.ndarray | None = None, modality: Modality = "text") -> Encoded:
        words = text.split()
        ids = np.array([0, *(self.first_token(word) for word in words)], dtype=np.int64)
        spans = np.array([(0, 0), *((2 * n, 2 * n + 1) for n in range(len(words)))], dtype=np.int32)
        special = np.arange(len(ids)) == 0
        return Encoded(ids, [WORDS[i] for i in ids], spans, special, [modality] * len(ids))

    def picture_inputs(self, encoded: Sequence[Encoded], length: int) -> dict[str, Tensor]:
        return {}

    def decode(self, token_ids: Sequence[int]) -> str:
        return " ".join(WORDS[i] for i in token_ids)

    def token(self, token_id: int) -> str:
        return WORDS[token_id]

    def first_token(self, text: str) -> int:
        if text not in WORDS:
            raise AtlasError(f"unknown word {text!r}")
        return WORDS.index(text)

    def continuation(self, text: str) -> list[int]:
        return [self.first_token(word) for word in text.split()]


class LinearLM(nn.Module):
    """Embedding, `layers.1`, a causal linear mixture over positions, unembedding: linear in what `layers.1` gives."""

    def __init__(self, calls: int = 1):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.embed = nn.Parameter(torch.randn(len(WORDS), D_MODEL, generator=generator))
        self.layers = nn.ModuleDict({"1": nn.Identity()})
        self.mix = nn.Parameter(torch.randn(16, 16, generator=generator).tril())
        self.head = nn.Parameter(torch.randn(D_MODEL, len(WORDS), generator=generator))
        self.calls = calls

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> SimpleNamespace:
        x = self.embed[input_ids]
        for _ in range(self.calls):
            x = self.layers["1"](x)
        length = x.shape[1]
        return SimpleNamespace(logits=(self.mix[:length, :length] @ x) @ self.head)


def as_subject(module: nn.Module) -> Subject:
    freeze(module)
    return Subject(
        name="tiny",
        model_id="0123456789abcdef",
        architecture=type(module).__name__,
        module=module,
        codec=LetterCodec(),
        n_layers=3,
        d_model=D_MODEL,
        n_parameters=count_parameters(module),
        modalities=("text",),
        source="test",
        revision=None,
    )


def tiny_llama() -> nn.Module:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=D_MODEL,
        intermediate_size=24,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=32,
        initializer_range=0.5,
    )
    return LlamaForCausalLM(config)


def tiny_gpt2() -> nn.Module:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(WORDS), n_embd=D_MODEL, n_layer=3, n_head=2, n_positions=32, initializer_range=0.5
    )
    return GPT2LMHeadModel(config)


@pytest.fixture
def linear() -> Subject:
    return as_subject(LinearLM())


@pytest.fixture
def twice_called() -> Subject:
    return as_subject(LinearLM(calls=2))


@pytest.fixture(params=[tiny_llama, tiny_gpt2])
def transformer(request: pytest.FixtureRequest) -> Subject:
    build: Callable[[], nn.Module] = request.param
    return as_subject(build())


@pytest.fixture
def dictionary() -> Dictionary:
    generator = torch.Generator().manual_seed(1)
    d_sae = 30
    decoder = torch.randn(d_sae, D_MODEL, generator=generator)
    decoder = decoder / decoder.norm(dim=1, keepdim=True)
    return Dictionary(
        W_enc=decoder.T.clone(),
        b_enc=torch.full((d_sae,), -0.3),
        W_dec=decoder,
        b_dec=torch.randn(D_MODEL, generator=generator) * 0.1,
        form="standard",
        threshold=None,
        k=None,
        apply_b_dec_to_input=True,
        metadata={},
    )
