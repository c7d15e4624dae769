"""Checkpoints of a training, and the loop that goes on from them as if it had never been killed."""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict
from itertools import chain

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sae.activations.reader import ShuffledReader
from sae.dictionaries.training import TrainedSAE, Training
from sae.errors import AtlasError
from sae.storage import Store, StoredFile

_KEPT = 2


class Checkpoints:
    """The last two states of one training, in `checkpoints/<key>/` of a store.

    A state is a safetensors file and, written after it, a JSON file with its size and SHA-256: without that, or where
    they do not agree, the state does not count.
    """

    def __init__(self, store: Store, key: str):
        """`key` stands for all that the training is made from: only the same training finds its states again."""
        self.folder = f"checkpoints/{key}"
        self._store = store

    def save(self, state: Mapping[str, Tensor], step: int) -> None:
        """Keep the state after `step` steps, and the one before it. Raises AtlasError on a full disk."""
        stem = f"{self.folder}/{step:010d}"
        with self._store.writing(f"{stem}.safetensors") as temporary:
            save_file(dict(state), temporary)
        described = self._store.describe(f"{stem}.safetensors")
        self._store.write_bytes(f"{stem}.json", json.dumps(asdict(described)).encode())
        self._keep(self._stems()[-_KEPT:])

    def latest(self, warn: Callable[[str], None]) -> dict[str, Tensor] | None:
        """The last whole state, if there is one; each damaged one is removed and `warn` is told."""
        for stem in reversed(self._stems()):
            try:
                return self._read(stem)
            except (AtlasError, SafetensorError, ValueError, TypeError) as error:
                warn(f"The checkpoint {stem} is damaged, the one before it is used: {error}")
                self._keep([kept for kept in self._stems() if kept != stem])
        return None

    def clear(self) -> None:
        """Remove all states."""
        self._keep([])

    def _read(self, stem: str) -> dict[str, Tensor]:
        fields = json.loads(self._store.read_bytes(f"{stem}.json"))
        return load_file(self._store.verify(StoredFile(**fields)))

    def _stems(self) -> list[str]:
        names = self._store.files_in(self.folder)
        return [name.removesuffix(".json") for name in names if name.endswith(".json")]

    def _keep(self, stems: list[str]) -> None:
        gone = [name for name in self._store.files_in(self.folder) if name.rsplit(".", 1)[0] not in stems]
        for name in sorted(gone, key=lambda name: not name.endswith(".json")):
            self._store.delete(name)


def train_resumably(
    training: Callable[[Tensor | None], Training],
    reader: ShuffledReader,
    checkpoints: Checkpoints,
    every: float,
    on_step: Callable[[int, int], None] = lambda done, total: None,
    warn: Callable[[str], None] = lambda words: None,
) -> TrainedSAE:
    """Train to the end, from the last checkpoint where there is one, and save a checkpoint each `every` seconds.

    `training` makes the training afresh, of the first batch, or with None to take up a state. A training that was
    killed at any moment and goes on ends with the weights of one that was not, bit for bit on one machine with one
    number of threads. `on_step(tokens, total)` after each step; `warn` is told of a damaged checkpoint.

    Raises AtlasError as `Training` does; the checkpoints stay.
    """
    state = checkpoints.latest(warn)
    step = 0 if state is None else int(state["step"])
    with closing(reader.batches(step)) as batches:
        first = next(batches, None)
        run = training(first if state is None else None)
        if state is not None:
            run.load_state_dict(state)
        saved, saved_at = step, time.monotonic()
        for batch in batches if first is None else chain([first], batches):
            try:
                run.advance(batch)
                if time.monotonic() - saved_at >= every and not run.finished:
                    checkpoints.save(_finite(run), run.step)
                    saved, saved_at = run.step, time.monotonic()
            except AtlasError as error:
                kept = f" The state after step {saved} is kept in {checkpoints.folder}." if saved else ""
                raise AtlasError(f"{error}{kept}") from error
            on_step(min(run.tokens, run.recipe.tokens), run.recipe.tokens)
    return run.result()


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
