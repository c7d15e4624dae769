"""A small causal language model that sees pictures: two transformer blocks applied three times.

Looped blocks follow Universal Transformers (Dehghani et al. 2018): the second hop of a question can use what the first
pass has looked up. RMSNorm, rotary positions (Su et al. 2021), tied embeddings.
"""

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sae.errors import AtlasError


@dataclass(frozen=True)
class WorldLMConfig:
    """Sizes of the model."""

    vocabulary_size: int
    d_model: int = 128
    n_heads: int = 4
    n_blocks: int = 2
    n_loops: int = 3
    rope_base: float = 100.0
    embedding_scale: float = 4.0
    picture_side: int = 24
    patch_side: int = 12
    d_picture: int = 192
    image_id: int = 2

    def to_json(self) -> dict[str, float]:
        """The sizes as a JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class WorldLMOutput:
    """What a forward pass gives."""

    logits: Tensor
    """[batch, position, vocabulary]."""


class WorldLM(nn.Module):
    """The model. `layers["1"]` to `layers["6"]` pass on the residual stream after each application of a block.

    The rows of a batch are padded on the right: a causal model needs no mask for that.
    """

    def __init__(self, config: WorldLMConfig, generator: torch.Generator):
        super().__init__()
        self.config = config
        d = config.d_model
        n_layers = config.n_blocks * config.n_loops
        self.embedding = nn.Embedding.from_pretrained(
            _normal((config.vocabulary_size, d), 1 / math.sqrt(d), generator), freeze=False
        )
        self.picture = PictureEmbedding(config, generator)
        self.blocks = nn.ModuleList(_Block(config, n_layers, generator) for _ in range(config.n_blocks))
        self.layers = nn.ModuleDict({str(index): nn.Identity() for index in range(1, n_layers + 1)})
        self.final_norm = nn.RMSNorm(d, eps=1e-6)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, images: Tensor | None = None
    ) -> WorldLMOutput:
        """Logits for ids [b, t]; `images` float [n, 3, 24, 24] in 0..1 in the order of their patches in the ids.

        `attention_mask` is taken and not needed. Raises AtlasError where patches and pictures do not agree.
        """
        return WorldLMOutput(self.readout(self.residual(input_ids, images)))

    def residual(self, input_ids: Tensor, images: Tensor | None = None, documents: Tensor | None = None) -> Tensor:
        """The residual stream after the last application, [b, t, d].

        `documents` int [b, t] numbers the documents that share a row, which then see nothing of one another. Rotary
        positions are relative, so that a document reads the same wherever it stands in a row.
        """
        stream = self._embed(input_ids, images)
        rotation = _rotation(input_ids.shape[1], self.config, stream)
        mask = None if documents is None else _block_mask(documents)
        for index, layer in enumerate(self.layers.values()):
            stream = layer(self.blocks[index % self.config.n_blocks](stream, rotation, mask))
        return stream

    def readout(self, stream: Tensor) -> Tensor:
        """Logits of a residual stream [..., d]."""
        return F.linear(self.final_norm(stream), self.embedding.weight)

    def get_output_embeddings(self) -> nn.Embedding:
        """The unembedding, which is the embedding (transformers' name for it)."""
        return self.embedding

    def _embed(self, input_ids: Tensor, images: Tensor | None) -> Tensor:
        stream = self.embedding(input_ids)
        places = input_ids == self.config.image_id
        patches = 0 if images is None else len(images) * self.picture.n_patches
        if int(places.sum()) != patches:
            raise AtlasError(f"The ids have {int(places.sum())} picture patches, the pictures {patches}.")
        if images is not None and patches:
            stream = stream.masked_scatter(places.unsqueeze(-1), self.picture(images).to(stream.dtype))
        return stream * self.config.embedding_scale


class PictureEmbedding(nn.Module):
    """Pictures [n, 3, side, side] to tokens [n · patches, d]: each patch by itself plus the whole picture."""

    def __init__(self, config: WorldLMConfig, generator: torch.Generator):
        super().__init__()
        self.patch_side = config.patch_side
        self.n_patches = (config.picture_side // config.patch_side) ** 2
        pixels = 3 * config.picture_side**2
        self.patch = _linear(3 * config.patch_side**2, config.d_model, generator)
        self.whole_in = _linear(pixels, config.d_picture, generator)
        self.whole_out = _linear(config.d_picture, config.d_model, generator)
        self.norm = nn.RMSNorm(config.d_model, eps=1e-6)
        # Words have norm 1; a picture token starts at .12 · sqrt(128) = 1.4. Louder ones drown the rest of the
        # dictionary's reconstruction.
        nn.init.constant_(self.norm.weight, 0.12)

    def forward(self, images: Tensor) -> Tensor:
        """Tokens in the order of rows, then columns, of each picture."""
        centred = images - 0.5
        patches = F.unfold(centred, self.patch_side, stride=self.patch_side).transpose(1, 2)
        whole = self.whole_out(F.gelu(self.whole_in(centred.flatten(1))))
        return self.norm(self.patch(patches) + whole.unsqueeze(1)).flatten(0, 1)


class _Block(nn.Module):
    def __init__(self, config: WorldLMConfig, n_layers: int, generator: torch.Generator):
        super().__init__()
        d = config.d_model
        self.n_heads = config.n_heads
        self.attention_norm = nn.RMSNorm(d, eps=1e-6)
        self.query = _linear(d, d, generator)
        self.key = _linear(d, d, generator)
        self.value = _linear(d, d, generator)
        self.attention_out = _linear(d, d, generator, 0.5 / math.sqrt(n_layers))
        self.mlp_norm = nn.RMSNorm(d, eps=1e-6)
        self.mlp_in = _linear(d, 4 * d, generator)
        self.mlp_out = _linear(4 * d, d, generator, 0.5 / math.sqrt(n_layers))

    def forward(self, stream: Tensor, rotation: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        stream = stream + self._attend(self.attention_norm(stream), rotation, mask)
        return stream + self.mlp_out(F.gelu(self.mlp_in(self.mlp_norm(stream))))

    def _attend(self, x: Tensor, rotation: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        batch, length, d = x.shape
        heads = [f(x).view(batch, length, self.n_heads, -1).transpose(1, 2) for f in (self.query, self.key, self.value)]
        query, key, value = _rotate(heads[0], rotation), _rotate(heads[1], rotation), heads[2]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=mask is None)
        return self.attention_out(mixed.transpose(1, 2).reshape(batch, length, d))


def _block_mask(documents: Tensor) -> Tensor:
    causal = torch.ones(documents.shape[1], documents.shape[1], dtype=torch.bool, device=documents.device).tril()
    return ((documents[:, :, None] == documents[:, None, :]) & causal).unsqueeze(1)


def _rotation(length: int, config: WorldLMConfig, like: Tensor) -> tuple[Tensor, Tensor]:
    half = config.d_model // config.n_heads // 2
    rates = config.rope_base ** (-torch.arange(half, device=like.device, dtype=like.dtype) / half)
    angles = torch.arange(length, device=like.device, dtype=like.dtype)[:, None] * rates
    return angles.cos(), angles.sin()


def _rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    cos, sin = rotation
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


def _linear(d_in: int, d_out: int, generator: torch.Generator, gain: float = 1.0) -> nn.Linear:
    layer = nn.Linear(d_in, d_out, bias=False, device="meta")
    layer.weight = nn.Parameter(_normal((d_out, d_in), gain / math.sqrt(d_in), generator))
    return layer


def _normal(shape: tuple[int, ...], std: float, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator) * std
