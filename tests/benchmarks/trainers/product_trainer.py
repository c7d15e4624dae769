"""The encoder's product alone, the one part of a TopK step that has to be dense: a bound on every trainer."""

import torch
from protocol import Task, Trainer, read_task, run
from torch import Tensor


def make(task: Task, mean: Tensor, d: int) -> Trainer:
    """x · W_encᵀ in bfloat16 where the task says autocast, else in float32; it learns nothing."""
    del mean
    dtype = torch.bfloat16 if task.autocast else torch.float32
    encoder = torch.randn(task.d_sae, d).to(dtype)

    def step(x: Tensor) -> None:
        _ = x.to(dtype) @ encoder.T

    def reconstruct(x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(x), x.new_zeros(len(x), task.d_sae)

    return Trainer(step, reconstruct)


if __name__ == "__main__":
    run(read_task(), make)
