"""The plain dense step in PyTorch: what a TopK autoencoder costs when nothing uses that its codes are sparse."""

import torch
import torch.nn.functional as F
from protocol import Task, Trainer, read_task, run
from torch import Tensor, nn


def make(task: Task, mean: Tensor, d: int) -> Trainer:
    """Encoder, top-k, decoder, autograd, clipping, fused Adam, unit decoder rows."""
    decoder = nn.Parameter(F.normalize(torch.randn(task.d_sae, d), dim=1))
    encoder, b_enc = nn.Parameter(decoder.detach().clone()), nn.Parameter(torch.zeros(task.d_sae))
    b_dec = nn.Parameter(mean.clone())
    parameters = [decoder, encoder, b_enc, b_dec]
    optimiser = torch.optim.Adam(parameters, lr=task.learning_rate, fused=True)

    def codes_of(x: Tensor) -> Tensor:
        z = F.linear(x - b_dec, encoder, b_enc)
        values, latents = z.topk(task.k, dim=1, sorted=False)
        return torch.zeros_like(z).scatter(1, latents, values.relu())

    def step(x: Tensor) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=task.autocast):
            error = codes_of(x) @ decoder + b_dec - x
        loss = error.float().square().sum() / (x - x.mean(dim=0)).square().sum()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        with torch.no_grad():
            decoder.div_(decoder.norm(dim=1, keepdim=True))

    def reconstruct(x: Tensor) -> tuple[Tensor, Tensor]:
        codes = codes_of(x)
        return codes @ decoder + b_dec, codes

    return Trainer(step, reconstruct)


if __name__ == "__main__":
    run(read_task(), make)
