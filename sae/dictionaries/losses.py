"""The terms of the training losses, each a pure function. All reduce to a scalar tensor."""

import torch
from torch import Tensor

_ALLOWED_COSINE = 0.1


def squared_error(x: Tensor, reconstruction: Tensor) -> Tensor:
    """E‖x − x̂‖²: summed over dimensions, averaged over tokens; x and x̂ [n, d] (Scaling Monosemanticity)."""
    return (x - reconstruction).square().sum(dim=1).mean()


def normalised_error(x: Tensor, reconstruction: Tensor) -> Tensor:
    """Σ‖x − x̂‖² / Σ‖x − x̄‖² over the batch, x̄ its mean: 1 for predicting the mean (Gao et al. 2024, §2.1)."""
    return (x - reconstruction).square().sum() / total_variance(x)


def total_variance(x: Tensor) -> Tensor:
    """Σ‖x − x̄‖² over a batch [n, d], kept above zero so that one token, or equal ones, can be divided by it."""
    return (x - x.mean(dim=0)).square().sum().clamp_min(torch.finfo(x.dtype).tiny)


def sparsity(codes: Tensor, decoder: Tensor) -> Tensor:
    """E Σ_i f_i‖W_dec,i‖: codes [n, d_sae], decoder [d_sae, d] (Scaling Monosemanticity; April 2024 update).

    Weighting by the norm takes from the model the way out of small codes with long decoder rows.
    """
    return (codes @ decoder.norm(dim=1)).mean()


def overlap(decoder: Tensor) -> Tensor:
    """Σ_{i≠j} relu(cos(W_i, W_j) − 0.1)² / n over the n rows of the decoder [n, d].

    It presses latents that point the same way apart, so that one of them cannot absorb another.
    """
    unit = torch.nn.functional.normalize(decoder, dim=1)
    excess = (unit @ unit.T - _ALLOWED_COSINE).relu()
    excess = excess - torch.diag(excess.diagonal())
    return excess.square().sum() / len(decoder)
