"""dictionary_learning: its trainers' `update`, which is their whole step."""

from importlib import import_module
from typing import Any

import torch
from protocol import Task, Trainer, read_task, run
from torch import Tensor

_trainers: Any = import_module("dictionary_learning.trainers")
_matryoshka: Any = import_module("dictionary_learning.trainers.matryoshka_batch_top_k")
_TRAINERS: dict[str, Any] = {
    "topk": _trainers.TopKTrainer,
    "auxk": _trainers.TopKTrainer,
    "batchtopk": _trainers.BatchTopKTrainer,
    "matryoshka": _matryoshka.MatryoshkaBatchTopKTrainer,
    "jumprelu": _trainers.JumpReluTrainer,
    "gated": _trainers.GatedSAETrainer,
    "standard": _trainers.StandardTrainer,
}
_WITH_PENALTY = ("jumprelu", "gated", "standard")
_WARMUP_STEPS = 1000
"""`warmup_steps` as shipped; at most a fiftieth of the run, as runs here are shorter than that."""


def make(task: Task, mean: Tensor, d: int) -> Trainer:
    """The variant's trainer; its `decay_start`, off as shipped, is on: runs of this length end with a better FVU."""
    trainer = _TRAINERS[task.variant](**_options(task, d))
    dead = round(task.dead * task.d_sae)
    if dead:
        trainer.ae.encoder.bias.data[:dead] = -1000.0
        trainer.num_tokens_since_fired[:dead] = 10 * trainer.dead_feature_threshold
    done = 0

    def step(x: Tensor) -> None:
        nonlocal done
        # As `trainSAE` does on a GPU, backward pass and optimiser included; the batch itself stays float32.
        with torch.autocast("cpu", torch.bfloat16, enabled=task.autocast):
            trainer.update(done, x)
        done += 1

    def reconstruct(x: Tensor) -> tuple[Tensor, Tensor]:
        codes = trainer.ae.encode(x)
        return trainer.ae.decode(codes), codes

    return Trainer(step, reconstruct)


def _options(task: Task, d: int) -> dict[str, Any]:
    """Arguments of a trainer: AuxK, penalties and targets as shipped, the times of a long run scaled to this one."""
    warmup = min(_WARMUP_STEPS, task.steps // 50)
    options: dict[str, Any] = {
        "steps": task.steps,
        "activation_dim": d,
        "dict_size": task.d_sae,
        "layer": 0,
        "lm_name": "benchmark",
        "lr": task.learning_rate,
        "warmup_steps": warmup,
        "decay_start": task.steps * 4 // 5,
        "seed": 0,
        "device": "cpu",
    }
    if task.variant in _WITH_PENALTY:
        options["sparsity_warmup_steps"] = 2 * warmup
    else:
        options["k"] = task.k
        # Shipped: after 1,000 steps. A shorter run would end without the threshold that its inference needs.
        options["threshold_start_step"] = min(1000, task.steps // 2)
    if task.variant == "matryoshka":
        options["group_fractions"] = [size / task.d_sae for size in task.groups]
    return options


if __name__ == "__main__":
    run(read_task(), make)
