"""What every trainer of the benchmark has in common: it reads a task, trains step by step, and prints what it measured.

A trainer is a script that is run in its own environment and process: `python trainer.py TASK.json`. It builds its
library's own training step for the task and hands it to `run`, which feeds all of them the same rows in the same order.
"""

import gc
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

_HELD_OUT_STEP = 5
"""Every so many of the held-out rows are measured: about 8,000, dozens of times in a training."""


@dataclass(frozen=True)
class Task:
    """One training, as JSON."""

    data: str
    """safetensors with `train` [n, d] and `held_out` [m, d], float32, scaled so that the mean L2 norm is sqrt(d)."""
    variant: str
    """topk, auxk (topk with its auxiliary loss), batchtopk, matryoshka, jumprelu, gated or standard."""
    d_sae: int
    k: int
    batch: int
    steps: int
    """Steps of the whole schedule."""
    stop: int
    """Steps that are made: fewer than `steps` where only the time of a step is wanted."""
    learning_rate: float
    autocast: bool
    """bfloat16 autocast around the step, for trainers that do not bring their own."""
    threads: int
    dead: float
    """Share of latents made dead before the first step: encoder bias −1000, and counted as silent for a long time."""
    groups: list[int]
    """Sizes of matryoshka's nested groups."""
    curve: int
    """Measure held-out FVU every so many steps, outside the clock; 0 for only at the end, −1 for never."""


@dataclass(frozen=True)
class Trainer:
    """A library's training, ready to run."""

    step: Callable[[Tensor], None]
    """One whole step on a batch [batch, d]: loss, backward, clipping where the library clips, optimiser, counters."""
    reconstruct: Callable[[Tensor], tuple[Tensor, Tensor]]
    """x̂ [n, d] and codes [n, d_sae] of inputs [n, d], as the library's inference does it."""


def read_task() -> Task:
    """The task named on the command line; sets the number of threads."""
    task = Task(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    torch.set_num_threads(task.threads)
    return task


def run(task: Task, make: Callable[[Task, Tensor, int], Trainer]) -> None:
    """Train and print one JSON object: seconds of each step, peak memory without the data, FVU, dead share, L0.

    `make(task, mean, d)` builds the trainer; `mean` [d] is that of the training rows. Peak memory is the resident set
    of the process, libraries and all, less the bytes of the data.
    """
    train, held_out = _rows(task)
    torch.manual_seed(0)
    _forget_peak()
    trainer = make(task, train.mean(dim=0), train.shape[1])
    seconds: list[float] = []
    curve: list[dict[str, float]] = []
    peak = 0.0
    per_epoch = len(train) // task.batch
    for step in range(task.stop):
        place = (step % per_epoch) * task.batch
        batch = train[place : place + task.batch]
        start = time.perf_counter()
        trainer.step(batch)
        seconds.append(time.perf_counter() - start)
        peak = max(peak, _peak_mib())
        if task.curve > 0 and ((step + 1) % task.curve == 0 or step == task.stop - 1):
            curve.append({"step": step + 1, "seconds": sum(seconds)} | quality(trainer, held_out))
    data_mib = (train.numel() + held_out.numel()) * 4 / 2**20
    last = {} if task.curve < 0 else quality(trainer, held_out)
    print(json.dumps({"seconds": seconds, "peak_mib": peak - data_mib, "curve": curve} | last))


def _rows(task: Task) -> tuple[Tensor, Tensor]:
    """The training rows that are needed, shuffled once for all trainers, and the held-out ones where they are read."""
    tensors = load_file(task.data)
    order = torch.randperm(len(tensors["train"]), generator=torch.Generator().manual_seed(0))
    train = tensors["train"][order[: task.stop * task.batch]].clone()
    return train, tensors["held_out"][::_HELD_OUT_STEP].clone() if task.curve >= 0 else train[:0]


def _forget_peak() -> None:
    """Let the kernel count the peak of the resident set from here on."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")


def _peak_mib() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


@torch.no_grad()
def quality(trainer: Trainer, held_out: Tensor) -> dict[str, float]:
    """Held-out FVU, the share of latents silent on all of it, and L0."""
    mean = held_out.mean(dim=0)
    error = variance = active = 0.0
    fired: Tensor | None = None
    for x in held_out.split(2048):
        made, codes = trainer.reconstruct(x)
        error += float((x - made.float()).square().sum())
        variance += float((x - mean).square().sum())
        active += float((codes > 0).sum())
        here = (codes > 0).any(dim=0)
        fired = here if fired is None else fired | here
    assert fired is not None
    return {"fvu": error / variance, "dead": float((~fired).float().mean()), "l0": active / len(held_out)}
