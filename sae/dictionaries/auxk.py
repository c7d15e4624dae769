"""The auxiliary loss that gives dead latents a gradient."""

from typing import NamedTuple

import torch
from torch import Tensor

from sae.dictionaries.choice import keep_largest
from sae.dictionaries.gradients import AddedRows

_BLOCK_ROWS = 256


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
    columns only, in `dtype`, and a few hundred tokens at a time: of a wide dictionary's dead latents a whole batch in
    float32 would be the largest thing in memory.
    """
    k = min(wanted, len(latents))
    weight = weight * (k / wanted)
    w_enc, w_dec, inputs = encoder[latents].to(dtype), decoder[latents].to(dtype), centred.to(dtype)
    bias = b_enc[latents]
    codes, slopes = (torch.empty(len(inputs), len(latents), dtype=dtype, device=inputs.device) for _ in range(2))
    towards, loss, to_bias = torch.empty_like(inputs), centred.new_zeros(()), torch.zeros_like(bias)
    for start in range(0, len(inputs), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        z = (inputs[block] @ w_enc.T).float().add_(bias)
        low = codes[block] = keep_largest(z, k).relu_().to(dtype)
        away = (low @ w_dec).float() - error[block]
        loss = loss + weight * away.square().sum()
        towards[block] = 2 * weight * away
        slopes[block] = (towards[block] @ w_dec.T).mul_(low > 0)
        to_bias += slopes[block].float().sum(dim=0)
    rows = AddedRows(latents, (codes.T @ towards).float(), (slopes.T @ inputs).float())
    return Auxiliary(loss, rows, to_bias)
