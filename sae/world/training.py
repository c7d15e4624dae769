"""Training of the world's model from nothing: Muon for the matrices, AdamW for the rest."""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sae.corpora.documents import IMAGE_MARK
from sae.errors import AtlasError
from sae.threads import one_thread
from sae.world.codec import PATCHES, WorldCodec, build_codec
from sae.world.documents import Document, draw_document
from sae.world.model import WorldLM, WorldLMConfig
from sae.world.pictures import draw_view
from sae.world.split import World, branch_rng, branch_seed, make_world

ROW = 64
"""Positions of a packed row; no document is longer."""
_BATCH = 64
_PARTS = 2
"""Parts of a batch that are computed side by side, each on one thread: threads that share every operation wait for one
another a thousand times a step."""
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
    seed: int, steps: int = 900, on_step: Callable[[int, int], None] = lambda done, total: None
) -> WorldLM:
    """Train the model on `steps` batches of 64 documents of the seed's world; `on_step(done, total)` after each.

    Muon (Jordan et al. 2024) reaches in some hundred steps what AdamW does not on these facts. Raises AtlasError on a
    loss that is not finite.
    """
    codec = build_codec()
    generator = torch.Generator().manual_seed(branch_seed(seed, "training"))
    model = WorldLM(WorldLMConfig(vocabulary_size=codec.vocabulary_size), generator)
    optimisers = _optimisers(model)
    schedules = [torch.optim.lr_scheduler.LambdaLR(o, lambda step: _rate(step, steps)) for o in optimisers]
    # One thread more, which draws the next batch meanwhile.
    with one_thread(), ThreadPoolExecutor(_PARTS + 1) as pool:
        for step, batch in enumerate(_drawn_ahead(_stream(make_world(seed), codec, steps), pool)):
            loss = _backward(model, batch, pool)
            if not math.isfinite(loss):
                raise AtlasError(f"The world model's loss is {loss} at step {step}: lower its learning rate.")
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            list(pool.map(lambda optimiser: optimiser.step(), optimisers))
            for schedule in schedules:
                schedule.step()
            on_step(step + 1, steps)
    return model.eval().requires_grad_(False)


def make_batch(documents: list[Document], codec: WorldCodec, views: np.random.Generator) -> Batch:
    """Documents and fresh views of their pictures as tensors, [b, 64] with as few rows as first fit finds."""
    encoded = [_row(document, codec) for document in documents]
    rows = _pack([len(ids) for ids, _ in encoded])
    shape = (len(rows), ROW)
    input_ids, numbers = np.full(shape, codec.pad_id, np.int64), np.full(shape, -1, np.int64)
    weights = np.zeros(shape, np.float32)
    pictures = []
    for index, row in enumerate(rows):
        start = 0
        for number in row:
            ids, document_weights = encoded[number]
            place = slice(start, start := start + len(ids))
            input_ids[index, place] = ids
            weights[index, place] = document_weights
            numbers[index, place] = number
            if name := documents[number].picture:
                pictures.append(draw_view(name, views))
    images = torch.from_numpy(_in_floats(pictures)) if pictures else None
    return Batch(torch.from_numpy(input_ids), torch.from_numpy(numbers), torch.from_numpy(weights), images)


def _in_floats(pictures: list[np.ndarray]) -> np.ndarray:
    """uint8 [24, 24, 3] as float32 [n, 3, 24, 24] in 0..1."""
    return np.stack(pictures).transpose(0, 3, 1, 2).astype(np.float32, order="C") / np.float32(255)


def _pack(lengths: list[int]) -> list[list[int]]:
    """Documents by number in rows of at most ROW positions: first fit, the longest first."""
    rows: list[tuple[list[int], int]] = []
    for number in sorted(range(len(lengths)), key=lambda n: -lengths[n]):
        length = lengths[number]
        index = next((i for i, (_, used) in enumerate(rows) if used + length <= ROW), len(rows))
        row, used = rows[index] if index < len(rows) else ([], 0)
        rows[index : index + 1] = [([*row, number], used + length)]
    return [row for row, _ in rows]


def _row(document: Document, codec: WorldCodec) -> tuple[list[int], list[float]]:
    """Id and weight of each position."""
    ids, weights = [codec.bos_id], [0.0]
    for piece in document.pieces:
        # What a picture looks like is not predicted.
        copies, weight = (PATCHES, 0.0) if piece.token == IMAGE_MARK else (1, piece.weight)
        ids += [codec.ids[piece.token]] * copies
        weights += [weight] * copies
    return ids, weights


def _stream(world: World, codec: WorldCodec, steps: int) -> Iterator[Batch]:
    rng = branch_rng(world.seed, "training")
    views = np.random.default_rng(branch_seed(world.seed, "training"))
    for _ in range(steps):
        yield make_batch([draw_document(world, rng) for _ in range(_BATCH)], codec, views)


def _drawn_ahead(batches: Iterator[Batch], pool: ThreadPoolExecutor) -> Iterator[Batch]:
    following = pool.submit(next, batches, None)
    while (batch := following.result()) is not None:
        following = pool.submit(next, batches, None)
        yield batch


def _backward(model: WorldLM, batch: Batch, pool: ThreadPoolExecutor) -> float:
    """Set the gradients of the loss over a batch, and return it. Its parts are computed side by side.

    What is added to what does not depend on the number of processors.
    """
    total, parameters = batch.weights[:, 1:].sum(), list(model.parameters())

    def part_of(part: Batch) -> tuple[float, tuple[Tensor, ...]]:
        loss = _summed_loss(model, part) / total
        # A part without pictures has no gradient for them.
        return loss.item(), torch.autograd.grad(loss, parameters, materialize_grads=True)

    losses, gradients = zip(*pool.map(part_of, _parts(batch)), strict=True)
    for parameter, *parts in zip(parameters, *gradients, strict=True):
        parameter.grad = torch.stack(parts).sum(dim=0)
    return sum(losses)


def _parts(batch: Batch) -> list[Batch]:
    """The batch as `_PARTS` batches of about as many rows."""
    pictures = (batch.input_ids == WorldCodec.image_id).sum(dim=1) // PATCHES
    parts = []
    for rows in torch.arange(len(batch.input_ids)).tensor_split(_PARTS):
        start, stop = pictures[: rows[0]].sum(), pictures[: rows[-1] + 1].sum()
        images = None if batch.images is None or start == stop else batch.images[start:stop]
        parts.append(Batch(batch.input_ids[rows], batch.documents[rows], batch.weights[rows], images))
    return parts


def _summed_loss(model: WorldLM, batch: Batch) -> Tensor:
    weights = batch.weights[:, 1:]
    wanted = weights > 0
    stream = model.residual(batch.input_ids, batch.images, batch.documents)[:, :-1]
    losses = F.cross_entropy(model.readout(stream[wanted]), batch.input_ids[:, 1:][wanted], reduction="none")
    return (losses * weights[wanted]).sum()


def _optimisers(model: WorldLM) -> list[torch.optim.Optimizer]:
    """Two for the matrices, which take about as long as each other: those of the pictures, and those of the blocks."""
    named = list(model.named_parameters())
    matrices = [(name, p) for name, p in named if p.ndim == 2 and not name.startswith("embedding")]
    others = [p for name, p in named if p.ndim != 2 or name.startswith("embedding")]
    of_pictures = [p for name, p in matrices if name.startswith("picture")]
    of_blocks = [p for name, p in matrices if not name.startswith("picture")]
    return [
        torch.optim.Muon(of_pictures, lr=_MATRIX_RATE, weight_decay=_MATRIX_DECAY),
        torch.optim.Muon(of_blocks, lr=_MATRIX_RATE, weight_decay=_MATRIX_DECAY),
        torch.optim.AdamW(others, lr=_OTHER_RATE, weight_decay=_OTHER_DECAY),
    ]


def _rate(step: int, steps: int) -> float:
    warm = (step + 1) / max(1, _WARM_UP * steps)
    left = (steps - step) / max(1.0, (1 - _CONSTANT) * steps)
    return min(1.0, warm, left)
