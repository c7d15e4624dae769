"""What training is made of, whatever the architecture.

An architecture is a module over normalised activations with `step`, `dictionary` and `unit_rows`, whether its method
holds decoder rows at norm 1. Both weights are kept as one row a latent, encoder and decoder [d_sae, d], so that sparse
products read whole rows.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Step:
    """What an architecture makes of one batch [n, d]."""

    loss: Tensor
    """Scalar, differentiable."""
    reconstruction: Tensor
    """[n, d], detached."""
    fired: Tensor
    """bool [d_sae]: latents active on at least one token."""
    l0: Tensor
    """Scalar: active latents a token."""


def remove_parallel_gradient(decoder: nn.Parameter) -> None:
    """Take out of each row's gradient what points along the row (Towards Monosemanticity, "Sparse Autoencoder Setup").

    It would only change the norm, which is put back to 1 after the step, but Adam's moments would remember it.
    """
    assert decoder.grad is not None
    along = (decoder.grad * decoder.detach()).sum(dim=1, keepdim=True)
    decoder.grad.addcmul_(along, decoder.detach(), value=-1)


@torch.no_grad()
def normalise_rows(decoder: nn.Parameter) -> None:
    """Put every row back to norm 1."""
    decoder.div_(decoder.norm(dim=1, keepdim=True).clamp_min(torch.finfo(decoder.dtype).tiny))
