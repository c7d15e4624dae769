"""eai-sparsify: `SparseCoder` and what its `Trainer.fit` does with one batch of activations.

Its `Trainer` reads activations through a hook on a language model, so that its step is put together here from the
library's parts in the order of `fit`: bias from the first batch, unit decoder, loss, projection of the decoder's
gradient, optimiser, schedule, counters.
"""

import contextlib
import sys
from importlib import import_module
from typing import Any

import torch
from protocol import Task, Trainer, read_task, run
from torch import Tensor
from transformers import get_linear_schedule_with_warmup

with contextlib.redirect_stdout(sys.stderr):  # It prints which decoder it uses; stdout is for the result.
    _library: Any = import_module("sparsify")

_VARIANTS = ("topk", "auxk")
_AUXK = {"topk": 0.0, "auxk": 1 / 32}
"""`auxk_alpha`: off as shipped; on, the paper's coefficient, which the library has none of its own for."""
_DEAD_AFTER = 10_000_000
"""`dead_feature_threshold` as shipped, in tokens."""
_WARMUP_STEPS = 1000
"""`lr_warmup_steps` as shipped; at most a fiftieth of the run, as runs here are shorter than that."""


def make(task: Task, mean: Tensor, d: int) -> Trainer:
    """Adam rather than signum, which learns less in runs of this length; everything else as shipped."""
    torch.set_float32_matmul_precision("high")
    config = _library.SparseCoderConfig(num_latents=task.d_sae, k=task.k)
    coder = _library.SparseCoder(d, config, "cpu", dtype=torch.float32)
    optimiser = torch.optim.Adam(coder.parameters(), lr=task.learning_rate)
    warmup = min(_WARMUP_STEPS, task.steps // 50)
    schedule = get_linear_schedule_with_warmup(optimiser, warmup, task.steps)
    silent_tokens = torch.zeros(task.d_sae, dtype=torch.long)
    did_fire = torch.zeros(task.d_sae, dtype=torch.bool)
    alpha = _AUXK[task.variant]
    dead = round(task.dead * task.d_sae)
    coder.encoder.bias.data[:dead] = -1000.0
    silent_tokens[:dead] = 10 * _DEAD_AFTER
    first = True

    def step(x: Tensor) -> None:
        nonlocal first
        if first:
            coder.b_dec.data = x.mean(dim=0)
            first = False
        coder.set_decoder_norm_to_unit_norm()
        dead_mask = silent_tokens > _DEAD_AFTER if alpha > 0 else None
        total_variance = (x - x.mean(dim=0)).pow(2).sum()
        with torch.autocast("cpu", torch.bfloat16, enabled=task.autocast):
            out = coder(x=x, y=x, dead_mask=dead_mask, total_variance=total_variance)
        did_fire[out.latent_indices.flatten()] = True
        loss = out.fvu + alpha * out.auxk_loss + out.multi_topk_fvu / 8
        loss.backward()
        coder.remove_gradient_parallel_to_decoder_directions()
        optimiser.step()
        optimiser.zero_grad()
        schedule.step()
        silent_tokens.add_(len(x))
        silent_tokens[did_fire] = 0
        did_fire.zero_()

    def reconstruct(x: Tensor) -> tuple[Tensor, Tensor]:
        values, latents, pre = coder.encode(x)
        return coder.decode(values, latents), torch.zeros_like(pre).scatter(1, latents, values)

    return Trainer(step, reconstruct)


if __name__ == "__main__":
    task = read_task()
    if task.variant in _VARIANTS:
        run(task, make)
    else:
        print('{"unsupported": true}')
