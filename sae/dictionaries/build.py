"""From a site's activations to dictionaries in folders, trained, measured and described."""

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor

from sae.activations.manifest import ActivationSet
from sae.activations.reader import ShuffledReader
from sae.activations.source import ActivationSource
from sae.config import RecipeConfig
from sae.dictionaries.checkpoints import Checkpoints
from sae.dictionaries.layout import save_dictionary
from sae.dictionaries.loss_recovered import LossRecovered
from sae.dictionaries.measured import measure_dictionary
from sae.dictionaries.resumable import Resumable, train_resumably
from sae.dictionaries.training import TrainedSAE, Training, TrainingPoint
from sae.dictionaries.warm_start import Parent
from sae.errors import AtlasError
from sae.models.subject import Subject
from sae.threads import is_small

_CURVE_ROWS = 12


@dataclass(frozen=True, eq=False)
class BuiltDictionary:
    """A dictionary in its folder."""

    dictionary_id: str
    folder: Path
    facts: dict[str, Any]
    """`architecture`, `d_in`, `d_sae`, `k` (of all groups together; None for standard) and `tokens_trained` (None where
    another trained it; then `imported` says what the file was)."""
    quality: dict[str, float | int | None]
    """As `Measured`."""
    loss_groups: list[LossRecovered]
    """The loss recovered by groups of held-out documents, for its interval."""
    history: list[TrainingPoint]
    """Empty for an imported one."""

    @property
    def curve(self) -> str:
        """The training in a dozen rows of markdown."""
        return curve_table(self.history)


@dataclass(frozen=True, eq=False)
class Build:
    """A dictionary to be made."""

    recipe: RecipeConfig
    """Its seed decides everything that is random (None is 0)."""
    folder: Path
    """Where SAELens' files go."""
    provenance: Mapping[str, Any]
    """Written beside them, with the normalisation, the quality and the training's history added."""
    checkpoints: Checkpoints
    """Training goes on from the last of them; they are left to the caller."""
    parent: Parent | None = None
    """What training starts from, where it is not a start of its own."""
    on_step: Callable[[int, int], None] = lambda done, total: None
    """Told (tokens, total) after each step."""
    warn: Callable[[str], None] = lambda words: None
    """Told of a damaged checkpoint."""


def build_dictionary(
    build: Build,
    activation_set: ActivationSet,
    source: ActivationSource,
    subject: Subject,
    documents: pl.DataFrame,
) -> BuiltDictionary:
    """Train on the set's train shards, measure on its held-out ones and on the first held-out `documents` by id.

    Raises AtlasError as `Training`, `Parent.start_of` and `measure_dictionary` do; the checkpoints stay.
    """
    ((_, built),) = build_dictionaries([build], activation_set, source, subject, documents)
    if isinstance(built, AtlasError):
        raise built
    return built


def build_dictionaries(
    builds: Sequence[Build],
    activation_set: ActivationSet,
    source: ActivationSource,
    subject: Subject,
    documents: pl.DataFrame,
) -> Iterator[tuple[Build, BuiltDictionary | AtlasError]]:
    """Make several dictionaries of one site: those of one batch size and seed can share one reading of the activations.

    Small ones do, which are trained side by side, and at a streamed site all do: there each reading costs a harvest.
    Large ones of stored activations are trained one after the other, for all that share a reading are in memory
    together. Each comes out as `build_dictionary` alone makes it, bit for bit, as soon as it is measured; one that
    fails gives its error and does not stop the others.
    """
    for members, at_once in _readings(builds, activation_set):
        openers = [partial(source.open, record) for record in activation_set.split("train")]
        first = members[0].recipe
        reader = ShuffledReader(openers, first.batch, first.seed or 0, max(build.recipe.tokens for build in members))
        trainings = [_resumable(build, activation_set, subject) for build in members]
        for build, trained in zip(members, train_resumably(trainings, reader, at_once), strict=True):
            if isinstance(trained, AtlasError):
                yield build, trained
                continue
            yield build, _measured(build, trained, activation_set, source, subject, documents)


def _readings(builds: Sequence[Build], activation_set: ActivationSet) -> list[tuple[list[Build], int]]:
    """The builds by the reading that they share, with how many of them take a batch at the same time.

    A harvest wants all threads for itself, and other threads would give other bits.
    """
    streamed = any(entry.record.tensors is None for entry in activation_set.shards)
    alone = [([build], 1) for build in builds if not (streamed or _small(build, activation_set))]
    alike: dict[tuple[int, int], list[Build]] = {}
    for build in builds:
        if streamed or _small(build, activation_set):
            alike.setdefault((build.recipe.batch, build.recipe.seed or 0), []).append(build)
    at_once = 1 if streamed else os.cpu_count() or 1
    return [*((members, at_once) for members in alike.values()), *alone]


def _small(build: Build, activation_set: ActivationSet) -> bool:
    """Whether each of its steps is one thread's work."""
    d_in, recipe = activation_set.d_model, build.recipe
    return is_small(recipe.batch * d_in * recipe.d_sae(d_in))


def _resumable(build: Build, activation_set: ActivationSet, subject: Subject) -> Resumable:
    recipe = build.recipe
    d_in, mean = activation_set.d_model, torch.tensor(activation_set.mean)

    def training(first_batch: Tensor | None) -> Training:
        parent = build.parent
        start = parent and parent.start_of(recipe, d_in, activation_set.site, subject.model_id)
        seed = recipe.seed or 0
        return Training(recipe, d_in, activation_set.scale, mean, first_batch, seed, subject.device, start)

    return Resumable(training, build.checkpoints, recipe.checkpoint_every, build.on_step, build.warn)


def _measured(
    build: Build,
    trained: TrainedSAE,
    activation_set: ActivationSet,
    source: ActivationSource,
    subject: Subject,
    documents: pl.DataFrame,
) -> BuiltDictionary | AtlasError:
    recipe = build.recipe
    try:
        measured = measure_dictionary(trained.dictionary, activation_set, source, subject, documents)
    except AtlasError as error:
        return error
    facts: dict[str, Any] = {
        "architecture": recipe.architecture,
        "d_in": measured.dictionary.d_in,
        "d_sae": measured.dictionary.d_sae,
        "k": sum(recipe.k) if isinstance(recipe.k, tuple) else recipe.k,
        "tokens_trained": trained.history[-1].tokens,
    }
    normalisation = {"kind": activation_set.normalisation, "scale": activation_set.scale}
    described = {**build.provenance, **facts, "normalisation": normalisation, "quality": measured.quality}
    described["history"] = [vars(point) for point in trained.history]
    dictionary_id = save_dictionary(measured.dictionary, build.folder, described, measured.density)
    return BuiltDictionary(dictionary_id, build.folder, facts, measured.quality, measured.loss_groups, trained.history)


def curve_table(history: list[TrainingPoint]) -> str:
    """A training's history as a markdown table of at most a dozen rows, the last step among them."""
    every = max(1, math.ceil((len(history) - 1) / (_CURVE_ROWS - 1)))
    rows = history[::every] + ([] if (len(history) - 1) % every == 0 else history[-1:])
    lines = ["| step | tokens | loss | FVU | L0 | dead | learning rate |", "|---|---|---|---|---|---|---|"]
    lines += [
        f"| {p.step} | {p.tokens:,} | {p.loss:.4g} | {p.fvu:.4f} | {p.l0:.1f} | {p.dead_fraction:.1%} "
        f"| {p.learning_rate:.2g} |"
        for p in rows
    ]
    return "\n".join(lines)
