"""Planted features, a random dictionary of each form, and a language model of five words."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sae.config import RecipeConfig
from sae.dictionaries.dictionary import Dictionary
from sae.models.encoding import Encoded, Modality
from sae.models.subject import Subject, freeze
from sae.threads import one_thread

MakeDictionary = Callable[..., Dictionary]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    # Steps this small lose more to waiting threads than they gain, above all on a busy machine.
    with one_thread():
        yield


@dataclass(frozen=True)
class Planted:
    """Data x = offset + Σ strength · direction over few of `directions` at a time."""

    directions: Tensor
    offset: Tensor
    x: Tensor

    @property
    def scale(self) -> float:
        return self.x.shape[1] ** 0.5 / float(self.x.norm(dim=1).mean())

    @property
    def mean(self) -> Tensor:
        return self.x.mean(dim=0)

    def batches(self, recipe: RecipeConfig, seed: int = 0) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(seed)
        while True:
            yield self.x[torch.randint(len(self.x), (recipe.batch,), generator=generator)]

    def found(self, dictionary: Dictionary) -> int:
        """How many of the 20 planted directions some decoder row matches with a cosine of 0.9 or more."""
        cosines = self.directions @ F.normalize(dictionary.W_dec, dim=1).T
        return int((cosines.amax(dim=1) >= 0.9).sum())


@pytest.fixture(scope="session")
def planted() -> Planted:
    generator = torch.Generator().manual_seed(7)
    directions = F.normalize(torch.randn(20, 16, generator=generator), dim=1)
    active = torch.rand(4096, 20, generator=generator) < 0.1
    strengths = 1 + torch.rand(4096, 20, generator=generator)
    offset = 3 * torch.randn(16, generator=generator)
    return Planted(directions, offset, offset + 10 * (active * strengths) @ directions)


@pytest.fixture(scope="session")
def make_dictionary() -> MakeDictionary:
    """Random weights: `make_dictionary(form, d_in, d_sae, seed)`."""

    def make(form: str, d_in: int = 6, d_sae: int = 10, seed: int = 0, apply_b_dec_to_input: bool = True) -> Dictionary:
        generator = torch.Generator().manual_seed(seed)

        def random(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator)

        return Dictionary(
            W_enc=random(d_in, d_sae),
            b_enc=random(d_sae),
            W_dec=F.normalize(random(d_sae, d_in), dim=1),
            b_dec=random(d_in),
            form=form,  # pyright: ignore[reportArgumentType]
            threshold=random(d_sae).abs() if form == "jumprelu" else None,
            r_mag=random(d_sae) / 4 if form == "gated" else None,
            b_mag=random(d_sae) if form == "gated" else None,
            k=min(3, d_sae) if form == "topk" else None,
            apply_b_dec_to_input=apply_b_dec_to_input,
        )

    return make


class FiveWords:
    """Ids 0 to 4; 0 is the special token that opens a document."""

    vocabulary_size = 5
    context_size = 8
    pad_id = 0

    @property
    def special_tokens(self) -> dict[str, int]:
        return {"0": 0}

    def picture_inputs(self, encoded: Sequence[Encoded], length: int) -> dict[str, Tensor]:
        return {}

    def encode(self, text: str, image: np.ndarray | None = None, modality: Modality = "text") -> Encoded:
        ids = np.array([0, *(int(word) for word in text.split())], dtype=np.int64)
        spans = np.zeros((len(ids), 2), dtype=np.int32)
        return Encoded(ids, [str(i) for i in ids], spans, np.arange(len(ids)) == 0, [modality] * len(ids))

    def decode(self, token_ids: Sequence[int]) -> str:
        return " ".join(map(str, token_ids))

    def token(self, token_id: int) -> str:
        return str(token_id)

    def first_token(self, text: str) -> int:
        return int(text)

    def continuation(self, text: str) -> list[int]:
        return [int(word) for word in text.split()]


class BigramLM(nn.Module):
    """Logits = head · layers.1(embedding); word 4 has an embedding a hundred times longer than the rest."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        embedding = F.normalize(torch.randn(5, 6, generator=generator), dim=1)
        embedding[4] *= 100
        self.embedding = nn.Parameter(embedding)
        self.layers = nn.ModuleDict({"1": nn.Identity()})
        self.head = nn.Parameter(torch.randn(6, 5, generator=generator))

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> SimpleNamespace:
        return SimpleNamespace(logits=self.layers["1"](self.embedding[input_ids]) @ self.head)


@pytest.fixture(scope="session")
def five_words() -> Subject:
    module = freeze(BigramLM())
    return Subject(
        name="five-words",
        model_id="0123456789abcdef",
        architecture="BigramLM",
        module=module,
        codec=FiveWords(),
        n_layers=1,
        d_model=6,
        n_parameters=60,
        modalities=("text",),
        source="test",
        revision=None,
    )
