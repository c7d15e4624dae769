"""The loop that trains: several recipes over one reading, each going on from its checkpoint as if never killed."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from sae.activations.reader import ShuffledReader
from sae.dictionaries.checkpoints import Checkpoints
from sae.dictionaries.training import TrainedSAE, Training
from sae.errors import AtlasError
from sae.threads import side_by_side


@dataclass(frozen=True, eq=False)
class Resumable:
    """One of the trainings."""

    training: Callable[[Tensor | None], Training]
    """Makes it afresh, of the first batch, or with None to take up a state."""
    checkpoints: Checkpoints
    every: float
    """Seconds between two checkpoints."""
    on_step: Callable[[int, int], None] = lambda done, total: None
    """Told (tokens, total) after each step."""
    warn: Callable[[str], None] = lambda words: None
    """Told of a damaged checkpoint."""


def train_resumably(
    trainings: Sequence[Resumable], reader: ShuffledReader, at_once: int = 1
) -> list[TrainedSAE | AtlasError]:
    """Train each to its end, from its last checkpoint where there is one, all on one reading of the activations.

    `at_once` of them take a batch at the same time, each on one thread where that is more than one. The reader gives
    batches of the size that all of them want, enough for the longest. Each ends with the weights that it would have
    alone, killed at any moment or not, bit for bit on one machine with one number of threads. A training that fails, as
    `Training` does or because it cannot be saved, gives its error, keeps its checkpoints and does not stop the others.
    Raises AtlasError where the reader does.
    """
    states = [one.checkpoints.latest(one.warn) for one in trainings]
    first = min(0 if state is None else int(state["step"]) for state in states)
    runs = [_Run(one, state) for one, state in zip(trainings, states, strict=True)]
    with closing(reader.batches(first)) as batches, side_by_side(min(at_once, len(runs))) as each:
        for number, batch in enumerate(batches, first):
            list(each(partial(_Run.take, batch=batch, number=number), runs))
            if all(run.ended for run in runs):
                break
    return [run.result() for run in runs]


class _Run:
    """A training with the step that it was last saved at."""

    def __init__(self, one: Resumable, state: Mapping[str, Tensor] | None):
        self._one = one
        self._training: Training | None = None
        self._error: AtlasError | None = None
        self._saved = 0
        self._saved_at = time.monotonic()
        if state is not None:
            try:
                self._training = one.training(None)
                self._training.load_state_dict(state)
                self._saved = self._training.step
            except AtlasError as error:
                self._error = error

    @property
    def ended(self) -> bool:
        return self._error is not None or (self._training is not None and self._training.finished)

    def take(self, batch: Tensor, number: int) -> None:
        """One step on batch `number` of the reading, unless it was taken before or is not wanted any more."""
        if self.ended or (self._training is not None and number < self._training.step):
            return
        try:
            training = self._training = self._training or self._one.training(batch)
            training.advance(batch[: training.recipe.tokens - training.tokens])
            if time.monotonic() - self._saved_at >= self._one.every and not training.finished:
                self._one.checkpoints.save(_finite(training), training.step)
                self._saved, self._saved_at = training.step, time.monotonic()
        except AtlasError as error:
            kept = f" The state after step {self._saved} is kept in {self._one.checkpoints.folder}."
            self._error = AtlasError(f"{error}{kept if self._saved else ''}")
            self._error.__cause__ = error
            return
        self._one.on_step(min(training.tokens, training.recipe.tokens), training.recipe.tokens)

    def result(self) -> TrainedSAE | AtlasError:
        if self._error is not None:
            return self._error
        assert self._training is not None
        try:
            return self._training.result()
        except AtlasError as error:
            return error


def _finite(training: Training) -> Mapping[str, Tensor]:
    """The training's state. Raises AtlasError where a weight is not finite: the losses so far need not show it."""
    state = training.state_dict()
    for name, tensor in state.items():
        if name.startswith("sae.") and not bool(tensor.isfinite().all()):
            raise AtlasError(
                f"Training stopped at step {training.step} of {training.steps}: {name} is not finite. "
                f"Lower learning_rate (now {training.recipe.learning_rate:g})."
            )
    return state
