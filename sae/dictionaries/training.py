"""One training loop for every architecture."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple, dataclass, fields
from itertools import chain

import torch
from torch import Tensor, nn

from sae.config import RecipeConfig
from sae.dictionaries.architectures import build_trainable
from sae.dictionaries.dictionary import Dictionary, fold_scale, unfold_scale
from sae.dictionaries.initialisation import geometric_median, unit_rows
from sae.dictionaries.resampling import Resampler
from sae.dictionaries.row_adam import RowAdam
from sae.errors import AtlasError
from sae.threads import threads_for

_EXPLODED = 100.0
"""Reconstructions this many times worse than the batch's mean end the run."""
_HISTORY_POINTS = 200
_UNCHECKED_STEPS = 16
"""Steps whose losses may wait on another device before they are looked at: reading one stops its queue."""


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

    The loop over one `Training`; `on_step(tokens, total)` after each step.
    Raises AtlasError as `Training` does, and when the batches run out.
    """
    source = iter(batches)
    first = next(source, None)
    if first is None:
        raise AtlasError("There is no activation to train on. Check the site's corpora.")
    training = Training(recipe, d_in, scale, mean, first, seed, device)
    for batch in chain([first], source):
        training.advance(batch)
        on_step(min(training.tokens, recipe.tokens), recipe.tokens)
        if training.finished:
            return training.result()
    raise _ran_out(training)


class Training:
    """One recipe in progress: ceil(`recipe.tokens` / `recipe.batch`) steps on raw activations [≤ batch, d_in].

    `scale` normalises the input and is folded into the result; `mean` [d_in] is the raw mean. The decoder's bias starts
    at it, or at the geometric median of `first_batch` where the recipe wants that; JumpReLU's thresholds start from
    that batch too. None will do for a training that then takes up a saved state. With `start`, a dictionary over raw
    activations of the same architecture and shape, all parameters start where those of its training ended instead.
    Adam as in `RowAdam`, with linear warm-up, constant rate, linear decay to 0.
    The same seed and batches give the same weights on one machine with one number of threads, and so does a training
    that goes on from `state_dict`.

    Raises AtlasError that names the step when the loss is not finite or the reconstruction is 100 times worse than the
    batch's mean (on a CPU at once, elsewhere within 16 steps and before any state is given out), and when the
    activations do not have `d_in` dimensions.
    """

    def __init__(
        self,
        recipe: RecipeConfig,
        d_in: int,
        scale: float,
        mean: Tensor,
        first_batch: Tensor | None,
        seed: int,
        device: torch.device | str = "cpu",
        start: Dictionary | None = None,
    ):
        found = d_in if first_batch is None else first_batch.shape[1]
        if found != d_in or mean.shape != (d_in,):
            raise AtlasError(f"The activations have {found} dimensions and their mean {len(mean)}, not {d_in}.")
        centre = scale * mean.float()
        if recipe.bias_init == "geometric_median" and first_batch is not None:
            centre = scale * geometric_median(first_batch.float())
        self.recipe = recipe
        self.steps = math.ceil(recipe.tokens / recipe.batch)
        self.step = 0
        """Steps done."""
        self.tokens = 0
        """Tokens read."""
        self.history: list[TrainingPoint] = []
        self._scale = scale
        self._device = torch.device(device)
        self._sae = build_trainable(recipe, unit_rows(recipe.d_sae(d_in), d_in, seed), centre, device)
        if start is not None:
            self._sae.take_up(unfold_scale(start, scale).to(self._device))
        elif first_batch is not None:
            self._sae.begin(scale * first_batch.to(self._device).float())
        self._optimiser = RowAdam(self._sae, recipe.clip_norm)
        self._silent_tokens = torch.zeros(len(self._sae.decoder), dtype=torch.int64, device=device)
        self._resampler = Resampler(recipe, self.steps, seed)
        self._unchecked: list[Tensor] = []

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.step >= self.steps

    def advance(self, batch: Tensor) -> TrainingPoint | None:
        """One optimiser step on raw activations [n, d_in]; the point, at the steps that `history` keeps."""
        with threads_for(batch.numel() * len(self._sae.decoder)):
            return self._advance(self._scale * batch.to(self._device).float())

    def _advance(self, x: Tensor) -> TrainingPoint | None:
        recipe, sae = self.recipe, self._sae
        dead = self._silent_tokens >= recipe.dead_after
        rate = recipe.learning_rate * schedule(self.step, self.steps, recipe.warmup, recipe.decay)
        made = sae.step(x, dead, self.step / self.steps)
        self._unchecked.append(torch.stack([made.loss, made.fvu]))
        recorded = self.step % max(1, self.steps // _HISTORY_POINTS) == 0 or self.step == self.steps - 1
        if recorded or self._device.type == "cpu" or len(self._unchecked) >= _UNCHECKED_STEPS:
            self._refuse_divergence(self.step + 1)
        gradient_norm = self._optimiser.take(sae, made, self.step, rate, measure=recorded)
        step, self.step, self.tokens = self.step, self.step + 1, self.tokens + len(x)
        self._silent_tokens = torch.where(made.fired, 0, self._silent_tokens + len(x))
        silent = self._silent_tokens >= recipe.dead_after
        self._silent_tokens[self._resampler.after(self.step, x, sae, self._optimiser, silent)] = 0
        if not recorded or gradient_norm is None:
            return None
        point = TrainingPoint(
            step=step,
            tokens=self.tokens,
            loss=float(made.loss),
            fvu=float(made.fvu),
            l0=float(made.l0),
            dead_fraction=float(dead.float().mean()),
            learning_rate=rate,
            gradient_norm=float(gradient_norm),
        )
        self.history.append(point)
        return point

    def _refuse_divergence(self, done: int) -> None:
        losses, self._unchecked = self._unchecked, []
        if not losses:
            return
        advice = f"Check the activations, or lower learning_rate (now {self.recipe.learning_rate:g})."
        for step, (loss, fvu) in enumerate(torch.stack(losses).tolist(), start=done - len(losses)):
            if not math.isfinite(loss):
                raise AtlasError(f"Training stopped at step {step} of {self.steps}: the loss is {loss}. {advice}")
            if fvu > _EXPLODED:
                raise AtlasError(
                    f"Training stopped at step {step} of {self.steps}: the loss exploded (FVU {fvu:.3g}). {advice}"
                )

    def state_dict(self) -> dict[str, Tensor]:
        """All that changes as the training goes on, copied to the CPU: flat, contiguous, fit for safetensors.

        Raises AtlasError where the steps so far have diverged.
        """
        self._refuse_divergence(self.step)
        state = {}
        for part, module in self._modules.items():
            state |= {f"{part}.{name}": tensor for name, tensor in module.state_dict().items()}
        state |= self._resampler.state_dict()
        state["silent_tokens"] = self._silent_tokens
        state["step"] = torch.tensor(self.step)
        state["tokens"] = torch.tensor(self.tokens)
        points = [astuple(point) for point in self.history]
        state["history"] = torch.tensor(points, dtype=torch.float64).view(-1, len(fields(TrainingPoint)))
        return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in state.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from where `state_dict` of a training of the same recipe and dimensions was.

        Raises AtlasError where the state is of another kind of training.
        """
        try:
            for part, module in self._modules.items():
                start = len(part) + 1
                module.load_state_dict({n[start:]: t for n, t in state.items() if n.startswith(f"{part}.")})
            self._silent_tokens = state["silent_tokens"].to(self._device, copy=True)
            self.step, self.tokens = int(state["step"]), int(state["tokens"])
            self._resampler.load_state_dict(state, self._device)
            history = state["history"].tolist()
        except (RuntimeError, KeyError) as error:
            raise AtlasError("The saved state is not one of this recipe's trainings. Start it afresh.") from error
        self.history = [TrainingPoint(int(row[0]), int(row[1]), *row[2:]) for row in history]
        self._unchecked = []

    @property
    def _modules(self) -> dict[str, nn.Module]:
        return {"sae": self._sae, "adam": self._optimiser}

    def result(self) -> TrainedSAE:
        """The dictionary as it is now, with `scale` folded in."""
        self._refuse_divergence(self.step)
        return TrainedSAE(fold_scale(self._sae.dictionary(), self._scale).to("cpu"), list(self.history))


def schedule(step: int, steps: int, warmup: float, decay: float) -> float:
    """Factor on the learning rate: rising to 1 over the first `warmup` of the steps, falling over the last `decay`."""
    rise = (step + 1) / max(1.0, warmup * steps)
    fall = (steps - step) / max(1.0, decay * steps)
    return min(1.0, rise, fall)


def _ran_out(training: Training) -> AtlasError:
    return AtlasError(
        f"The activations ran out after {training.tokens} of the {training.recipe.tokens} tokens to train on."
    )
