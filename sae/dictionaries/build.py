"""From a site's activations to a dictionary in a folder, trained, measured and described."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import torch

from sae.activations.manifest import ActivationSet
from sae.activations.reader import ShuffledReader
from sae.activations.source import ActivationSource
from sae.config import RecipeConfig
from sae.dictionaries.checkpoints import Checkpoints, train_resumably
from sae.dictionaries.layout import save_dictionary
from sae.dictionaries.loss_recovered import LossRecovered
from sae.dictionaries.measured import measure_dictionary
from sae.dictionaries.training import Training, TrainingPoint
from sae.models.subject import Subject

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


def build_dictionary(
    recipe: RecipeConfig,
    activation_set: ActivationSet,
    source: ActivationSource,
    subject: Subject,
    documents: pl.DataFrame,
    folder: Path,
    provenance: Mapping[str, Any],
    checkpoints: Checkpoints,
    on_step: Callable[[int, int], None] = lambda done, total: None,
    warn: Callable[[str], None] = lambda words: None,
) -> BuiltDictionary:
    """Train on the set's train shards, measure on its held-out ones and on the first held-out `documents` by id.

    `recipe.seed` decides everything that is random (None is 0). Training goes on from the last of the `checkpoints`,
    saves one every `recipe.checkpoint_every` seconds and leaves them to the caller; `warn` is told of a damaged one.
    Written: SAELens' files, and `provenance` with the normalisation, the quality and the training's history added.
    Raises AtlasError as `train_resumably` and `measure_dictionary` do.
    """
    openers = [partial(source.open, record) for record in activation_set.split("train")]
    seed = recipe.seed or 0
    mean = torch.tensor(activation_set.mean)
    reader = ShuffledReader(openers, recipe.batch, seed, recipe.tokens)
    training = partial(
        Training, recipe, activation_set.d_model, activation_set.scale, mean, seed=seed, device=subject.device
    )
    trained = train_resumably(training, reader, checkpoints, recipe.checkpoint_every, on_step, warn)
    measured = measure_dictionary(trained.dictionary, activation_set, source, subject, documents)
    facts: dict[str, Any] = {
        "architecture": recipe.architecture,
        "d_in": measured.dictionary.d_in,
        "d_sae": measured.dictionary.d_sae,
        "k": sum(recipe.k) if isinstance(recipe.k, tuple) else recipe.k,
        "tokens_trained": trained.history[-1].tokens,
    }
    normalisation = {"kind": activation_set.normalisation, "scale": activation_set.scale}
    described = {**provenance, **facts, "normalisation": normalisation, "quality": measured.quality}
    described["history"] = [vars(point) for point in trained.history]
    dictionary_id = save_dictionary(measured.dictionary, folder, described, measured.density)
    return BuiltDictionary(dictionary_id, folder, facts, measured.quality, measured.loss_groups, trained.history)


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
