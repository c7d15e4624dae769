"""The auxiliary loss that gives dead latents a gradient."""

from typing import NamedTuple

import torch
from torch import Tensor

from sae.dictionaries.choice import keep_largest
from sae.dictionaries.gradients import AddedRows


class Auxiliary(NamedTuple):
    """Its value and its gradients, which only the dead latents have."""

    loss: Tensor
    rows: AddedRows
    b_enc: Tensor
    """[len(rows.latents)]."""


def auxiliary(
    centred: Tensor,
    error: Tensor,
    latents: Tensor,
    encoder: Tensor,
    b_enc: Tensor,
    decoder: Tensor,
    wanted: int,
    weight: Tensor | float,
    dtype: torch.dtype,
) -> Auxiliary:
    """w · min(1, n_dead/k) · Σ‖e − ê‖², where the k strongest of the dead latents make ê of what the others miss.

    Gao et al. 2024, appendix A.2 (AuxK): e = x − x̂ [n, d] counts as a constant, and so does the input `centred`.
    It fades where fewer than k = `wanted` latents are dead, as in EleutherAI's sparsify. All products are over the dead
    columns only; they run in `dtype`.
    """
    k = min(wanted, len(latents))
    weight = weight * (k / wanted)
    w_enc, w_dec, inputs = encoder[latents].to(dtype), decoder[latents].to(dtype), centred.to(dtype)
    z = (inputs @ w_enc.T).float() + b_enc[latents]
    codes = keep_largest(z, k).relu_()
    low = codes.to(dtype)
    away = (low @ w_dec).float() - error
    loss = weight * away.square().sum()
    towards = (2 * weight * away).to(dtype)
    slopes = (towards @ w_dec.T).mul_(codes > 0)
    rows = AddedRows(latents, (low.T @ towards).float(), (slopes.T @ inputs).float())
    return Auxiliary(loss, rows, slopes.float().sum(dim=0))
