"""Training of the world's model from nothing: Muon for the matrices, AdamW for the rest."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sae.errors import AtlasError
from sae.world.codec import PATCHES, WorldCodec, build_codec
from sae.world.documents import Document, draw_document
from sae.world.model import WorldLM, WorldLMConfig
from sae.world.pictures import draw_view
from sae.world.split import World, branch_rng, branch_seed, make_world
from sae.world.text import IMAGE_MARK

_BATCH = 64
_MATRIX_RATE = 4e-3
_MATRIX_DECAY = 0.5
_OTHER_RATE = 1.5e-2
_OTHER_DECAY = 0.1
_LENGTH_CUTS = (0, 32, 52, _BATCH)
_WARM_UP = 0.02
_CONSTANT = 0.5


@dataclass(frozen=True)
class Batch:
    """Documents as the model reads them, padded on the right."""

    input_ids: Tensor
    """int64 [b, t]."""
    weights: Tensor
    """float [b, t]: weight of predicting the token that stands here."""
    images: Tensor | None
    """float [n, 3, 24, 24] in 0..1."""


def train_world_lm(
    seed: int, steps: int = 600, on_step: Callable[[int, int], None] = lambda done, total: None
) -> WorldLM:
    """Train the model on `steps` batches of 64 documents of the seed's world; `on_step(done, total)` after each.

    Muon (Jordan et al. 2024) reaches in 600 steps what AdamW does not on these facts. Raises AtlasError on a loss
    that is not finite.
    """
    codec = build_codec()
    generator = torch.Generator().manual_seed(branch_seed(seed, "training"))
    model = WorldLM(WorldLMConfig(vocabulary_size=codec.vocabulary_size), generator)
    optimisers = _optimisers(model)
    schedules = [torch.optim.lr_scheduler.LambdaLR(o, lambda step: _rate(step, steps)) for o in optimisers]
    for step, batches in enumerate(_stream(make_world(seed), codec, steps)):
        loss = _loss(model, batches)
        if not torch.isfinite(loss):
            raise AtlasError(f"The world model's loss is {loss.item()} at step {step}: lower its learning rate.")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser, schedule in zip(optimisers, schedules, strict=True):
            optimiser.step()
            optimiser.zero_grad()
            schedule.step()
        on_step(step + 1, steps)
    return model.eval().requires_grad_(False)


def make_batch(documents: list[Document], codec: WorldCodec, views: np.random.Generator) -> Batch:
    """Documents and fresh views of their pictures as tensors."""
    rows = [_row(document, codec) for document in documents]
    length = max(len(ids) for ids, _ in rows)
    input_ids = torch.full((len(rows), length), codec.pad_id)
    weights = torch.zeros(len(rows), length)
    for index, (ids, row_weights) in enumerate(rows):
        input_ids[index, : len(ids)] = torch.tensor(ids)
        weights[index, : len(ids)] = torch.tensor(row_weights)
    pictures = [draw_view(document.picture, views) for document in documents if document.picture]
    images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255 if pictures else None
    return Batch(input_ids, weights, images)


def _row(document: Document, codec: WorldCodec) -> tuple[list[int], list[float]]:
    ids, weights = [codec.bos_id], [0.0]
    for piece in document.pieces:
        # What a picture looks like is not predicted.
        copies, weight = (PATCHES, 0.0) if piece.token == IMAGE_MARK else (1, piece.weight)
        ids += [codec.ids[piece.token]] * copies
        weights += [weight] * copies
    return ids, weights


def _stream(world: World, codec: WorldCodec, steps: int) -> Iterator[list[Batch]]:
    rng: Random = branch_rng(world.seed, "training")
    views = np.random.default_rng(branch_seed(world.seed, "training"))
    for _ in range(steps):
        documents = [draw_document(world, rng) for _ in range(_BATCH)]
        documents.sort(key=lambda document: len(document.pieces))
        # Padded by length: a batch of its own for the short half, the middle and the long ones saves a third.
        parts = [documents[start:end] for start, end in pairwise(_LENGTH_CUTS)]
        yield [make_batch(part, codec, views) for part in parts]


def _loss(model: WorldLM, batches: list[Batch]) -> Tensor:
    total, weight = torch.zeros(()), torch.zeros(())
    for batch in batches:
        stream = model.residual(batch.input_ids, batch.images)[:, :-1]
        wanted = batch.weights[:, 1:] > 0
        losses = F.cross_entropy(model.readout(stream[wanted]), batch.input_ids[:, 1:][wanted], reduction="none")
        weights = batch.weights[:, 1:][wanted]
        total, weight = total + (losses * weights).sum(), weight + weights.sum()
    return total / weight


def _optimisers(model: WorldLM) -> list[torch.optim.Optimizer]:
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and not name.startswith("embedding")]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or name.startswith("embedding")]
    return [
        torch.optim.Muon(matrices, lr=_MATRIX_RATE, weight_decay=_MATRIX_DECAY),
        torch.optim.AdamW(others, lr=_OTHER_RATE, weight_decay=_OTHER_DECAY),
    ]


def _rate(step: int, steps: int) -> float:
    warm = (step + 1) / max(1, _WARM_UP * steps)
    left = (steps - step) / max(1.0, (1 - _CONSTANT) * steps)
    return min(1.0, warm, left)
