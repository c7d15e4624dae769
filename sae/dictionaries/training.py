"""One training loop for every architecture."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn

from sae.config import RecipeConfig
from sae.dictionaries.architectures import TrainableSAE, build_trainable
from sae.dictionaries.dictionary import Dictionary, fold_scale
from sae.dictionaries.initialisation import geometric_median, unit_rows
from sae.dictionaries.losses import normalised_error
from sae.dictionaries.step import normalise_rows, remove_parallel_gradient
from sae.errors import AtlasError

_GRADIENT_NORM = 1.0
_EXPLODED = 100.0
"""Reconstructions this many times worse than the batch's mean end the run."""
_HISTORY_POINTS = 200
_ONE_THREAD_PRODUCTS = 10**9
"""Multiplications of a step's encoder below which one thread is used: waking a second one costs more than it does, and
on a busy machine twenty times more."""


@dataclass(frozen=True)
class TrainingPoint:
    """The training at one step, on its own batch."""

    step: int
    tokens: int
    """Read so far."""
    loss: float
    fvu: float
    """Fraction of the batch's variance unexplained."""
    l0: float
    dead_fraction: float
    """Latents silent for `dead_after` tokens."""
    learning_rate: float
    gradient_norm: float
    """Before clipping."""


@dataclass(frozen=True, eq=False)
class TrainedSAE:
    """A finished training."""

    dictionary: Dictionary
    """In the model's own scale, on the CPU."""
    history: list[TrainingPoint]
    """About 200 points, the first and the last step among them."""


def train(
    recipe: RecipeConfig,
    batches: Iterable[Tensor],
    d_in: int,
    scale: float,
    mean: Tensor,
    seed: int,
    device: torch.device | str = "cpu",
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> TrainedSAE:
    """Train a dictionary on ceil(`recipe.tokens` / `recipe.batch`) batches of raw activations, float32 [≤ batch, d_in].

    `scale` normalises the input and is folded into the result; `mean` [d_in] is the raw mean. Adam (0.9, 0.999), linear
    warm-up, constant, linear decay to 0; gradients clipped to norm 1; where the method wants unit decoder rows,
    gradients along them are removed and the rows renormalised after each step. `on_step(tokens, total)` after each.
    The same seed and batches give the same weights on one machine with one number of threads.

    Raises AtlasError that names the step when the loss is not finite or the reconstruction is 100 times worse than the
    batch's mean, and when the batches run out or do not have `d_in` dimensions.
    """
    steps = math.ceil(recipe.tokens / recipe.batch)
    source = iter(batches)
    first = next(source, None)
    if first is None:
        raise AtlasError("There is no activation to train on. Check the site's corpora.")
    if first.shape[1] != d_in or mean.shape != (d_in,):
        raise AtlasError(f"The activations have {first.shape[1]} dimensions and their mean {len(mean)}, not {d_in}.")
    centre = scale * (geometric_median(first) if recipe.bias_init == "geometric_median" else mean.float())
    directions = unit_rows(recipe.d_sae(d_in), d_in, seed)
    run = _Run(recipe, build_trainable(recipe, directions, centre).to(device), steps)

    history: list[TrainingPoint] = []
    every = max(1, steps // _HISTORY_POINTS)
    with _threads(recipe.batch * d_in * recipe.d_sae(d_in)):
        for step, batch in enumerate(chain([first], source)):
            point = run.advance(step, scale * batch.to(device))
            if step % every == 0 or step == steps - 1:
                history.append(point)
            on_step(min(point.tokens, recipe.tokens), recipe.tokens)
            if step == steps - 1:
                return TrainedSAE(fold_scale(run.sae.dictionary(), scale).to("cpu"), history)
    raise AtlasError(f"The activations ran out after {run.tokens} of the {recipe.tokens} tokens to train on.")


class _Run:
    """What a training carries from step to step."""

    def __init__(self, recipe: RecipeConfig, sae: TrainableSAE, steps: int):
        self.sae = sae
        self.tokens = 0
        self._recipe = recipe
        self._steps = steps
        self._optimiser = torch.optim.Adam(sae.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.999), fused=True)
        self._silent_tokens = torch.zeros(len(sae.decoder), dtype=torch.int64, device=sae.decoder.device)

    def advance(self, step: int, x: Tensor) -> TrainingPoint:
        """One optimiser step on normalised activations x [n, d]."""
        recipe, sae = self._recipe, self.sae
        dead = self._silent_tokens >= recipe.dead_after
        rate = recipe.learning_rate * schedule(step, self._steps, recipe.warmup, recipe.decay)
        made = sae.step(x, dead, step / self._steps)
        loss, fvu = float(made.loss.detach()), float(normalised_error(x, made.reconstruction))
        _refuse_divergence(step, self._steps, loss, fvu, recipe.learning_rate)

        self._optimiser.zero_grad()
        made.loss.backward()
        if sae.unit_rows:
            remove_parallel_gradient(sae.decoder)
        gradient_norm = nn.utils.clip_grad_norm_(sae.parameters(), _GRADIENT_NORM)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._optimiser.step()
        if sae.unit_rows:
            normalise_rows(sae.decoder)

        self.tokens += len(x)
        self._silent_tokens = torch.where(made.fired, 0, self._silent_tokens + len(x))
        return TrainingPoint(
            step=step,
            tokens=self.tokens,
            loss=loss,
            fvu=fvu,
            l0=float(made.l0),
            dead_fraction=float(dead.float().mean()),
            learning_rate=rate,
            gradient_norm=float(gradient_norm),
        )


@contextmanager
def _threads(products: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1 if products < _ONE_THREAD_PRODUCTS else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def schedule(step: int, steps: int, warmup: float, decay: float) -> float:
    """Factor on the learning rate: rising to 1 over the first `warmup` of the steps, falling over the last `decay`."""
    rise = (step + 1) / max(1.0, warmup * steps)
    fall = (steps - step) / max(1.0, decay * steps)
    return min(1.0, rise, fall)


def _refuse_divergence(step: int, steps: int, loss: float, fvu: float, learning_rate: float) -> None:
    advice = f"Check the activations, or lower learning_rate (now {learning_rate:g})."
    if not math.isfinite(loss):
        raise AtlasError(f"Training stopped at step {step} of {steps}: the loss is {loss}. {advice}")
    if fvu > _EXPLODED:
        raise AtlasError(f"Training stopped at step {step} of {steps}: the loss exploded (FVU {fvu:.3g}). {advice}")
