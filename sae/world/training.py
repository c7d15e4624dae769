"""Training of the world's model from nothing: Muon for the matrices, AdamW for the rest."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sae.corpora.documents import IMAGE_MARK
from sae.errors import AtlasError
from sae.world.codec import PATCHES, WorldCodec, build_codec
from sae.world.documents import Document, draw_document
from sae.world.model import WorldLM, WorldLMConfig
from sae.world.pictures import draw_view
from sae.world.split import World, branch_rng, branch_seed, make_world

ROW = 64
"""Positions of a packed row; no document is longer."""
_BATCH = 64
_MATRIX_RATE = 4e-3
_MATRIX_DECAY = 0.5
_OTHER_RATE = 1.5e-2
_OTHER_DECAY = 0.1
_WARM_UP = 0.02
_CONSTANT = 0.5


@dataclass(frozen=True)
class Batch:
    """Documents packed into rows: padding would cost a third of the time."""

    input_ids: Tensor
    """int64 [b, t]."""
    documents: Tensor
    """int64 [b, t]: which document of its row a position belongs to; -1 for padding."""
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
    for step, batch in enumerate(_stream(make_world(seed), codec, steps)):
        loss = _loss(model, batch)
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
    """Documents and fresh views of their pictures as tensors, [b, 64] with as few rows as first fit finds."""
    encoded = [_row(document, codec) for document in documents]
    rows = _pack([len(row) for row in encoded])
    shape = (len(rows), ROW)
    input_ids, numbers, weights = torch.full(shape, codec.pad_id), torch.full(shape, -1), torch.zeros(shape)
    pictures = []
    for index, row in enumerate(rows):
        start = 0
        for number in row:
            ids, document_weights = zip(*encoded[number], strict=True)
            place = slice(start, start := start + len(ids))
            input_ids[index, place] = torch.tensor(ids)
            weights[index, place] = torch.tensor(document_weights)
            numbers[index, place] = number
            if name := documents[number].picture:
                pictures.append(draw_view(name, views))
    images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255 if pictures else None
    return Batch(input_ids, numbers, weights, images)


def _pack(lengths: list[int]) -> list[list[int]]:
    """Documents by number in rows of at most ROW positions: first fit, the longest first."""
    rows: list[tuple[list[int], int]] = []
    for number in sorted(range(len(lengths)), key=lambda n: -lengths[n]):
        length = lengths[number]
        index = next((i for i, (_, used) in enumerate(rows) if used + length <= ROW), len(rows))
        row, used = rows[index] if index < len(rows) else ([], 0)
        rows[index : index + 1] = [([*row, number], used + length)]
    return [row for row, _ in rows]


def _row(document: Document, codec: WorldCodec) -> list[tuple[int, float]]:
    """Id and weight of each position."""
    row = [(codec.bos_id, 0.0)]
    for piece in document.pieces:
        # What a picture looks like is not predicted.
        copies, weight = (PATCHES, 0.0) if piece.token == IMAGE_MARK else (1, piece.weight)
        row += [(codec.ids[piece.token], weight)] * copies
    return row


def _stream(world: World, codec: WorldCodec, steps: int) -> Iterator[Batch]:
    rng = branch_rng(world.seed, "training")
    views = np.random.default_rng(branch_seed(world.seed, "training"))
    for _ in range(steps):
        yield make_batch([draw_document(world, rng) for _ in range(_BATCH)], codec, views)


def _loss(model: WorldLM, batch: Batch) -> Tensor:
    weights = batch.weights[:, 1:]
    wanted = weights > 0
    stream = model.residual(batch.input_ids, batch.images, batch.documents)[:, :-1]
    losses = F.cross_entropy(model.readout(stream[wanted]), batch.input_ids[:, 1:][wanted], reduction="none")
    return (losses * weights[wanted]).sum() / weights.sum()


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
