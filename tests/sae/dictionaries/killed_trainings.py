"""Train in one process after another, each killed at another moment: `python killed_trainings.py FOLDER`.

Prints how each process ended, then the ids of the dictionary that came out at last and of one that was never killed.
"""

import os
import random
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hand_made import make_shard

from sae.activations.reader import ShuffledReader
from sae.activations.shard import open_shard, save_shard
from sae.config import RecipeConfig
from sae.dictionaries import topk, training
from sae.dictionaries.checkpoints import Checkpoints
from sae.dictionaries.layout import dictionary_id
from sae.dictionaries.resumable import Resumable, train_resumably
from sae.storage import Store

RECIPE = RecipeConfig(architecture="topk", latents=256, k=4, batch=64, tokens=64 * 120, dead_after=500)
SHARDS = 3


def train(folder: Path, name: str) -> None:
    """Train on the shards in a folder, saving after each step, and write down what came out."""
    paths = [folder / f"{number}.safetensors" for number in range(SHARDS)]
    openers = [partial(open_shard, path, path.with_suffix(".parquet")) for path in paths]
    reader = ShuffledReader(openers, RECIPE.batch, 1, RECIPE.tokens, buffer_bytes=1)
    make = partial(training.Training, RECIPE, 32, 1.0, torch.zeros(32), seed=1)
    (trained,) = train_resumably([Resumable(make, Checkpoints(Store(str(folder / name)), "key"), every=0.0)], reader)
    assert isinstance(trained, training.TrainedSAE)
    (folder / f"{name}.id").write_text(dictionary_id(trained.dictionary))


def dies_at(module: Any, name: str, number: int) -> None:
    """Let the process be killed at that call of a function."""
    real, calls = getattr(module, name), iter(range(10**9))

    def watched(*arguments: Any, **named: Any) -> Any:
        if next(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **named)

    setattr(module, name, watched)


def live(body: Callable[[], None]) -> int:
    """Run a body in a process of its own; returns its exit code, negative where a signal ended it.

    The processes are forked from one that has imported everything and computed nothing.
    """
    if not (child := os.fork()):
        body()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(folder: Path) -> None:
    """Live and die."""

    def prepare() -> None:
        for number in range(SHARDS):
            shard = make_shard(torch.randn(700, 32, generator=torch.Generator().manual_seed(number)))
            save_shard(shard, folder / f"{number}.safetensors", folder / f"{number}.parquet")

    def killed_in(module: Any, name: str, number: int) -> None:
        dies_at(module, name, number)
        train(folder, "killed")

    live(prepare)
    ends = [
        live(partial(killed_in, module, name, number))
        for module, name, number in [
            (topk, "reconstruct", 20),  # in the middle of a step
            (os, "fsync", 8),  # a state is written under its temporary name
            (os, "replace", 6),
            (os, "replace", 7),  # it has its name, but nothing describes it yet
            (Path, "unlink", 9),
        ]
    ]
    ends += [live(partial(killed_in, topk, "reconstruct", random.Random(n).randrange(3, 20))) for n in range(3)]
    ends += [live(partial(train, folder, name)) for name in ("killed", "whole")]
    print(*ends, (folder / "killed.id").read_text(), (folder / "whole.id").read_text())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
