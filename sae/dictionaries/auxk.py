"""The auxiliary loss that gives dead latents a gradient."""

from typing import NamedTuple

import torch
from torch import Tensor

from sae.dictionaries.choice import keep_largest_
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
    columns only, in `dtype`, and a few hundred tokens at a time: a whole batch of a wide dictionary's dead latents in
    float32 would be the largest thing in memory.
    """
    k = min(wanted, len(latents))
    weight = weight * (k / wanted)
    inputs, bias = centred.to(dtype), b_enc[latents]
    w_enc, w_dec = _rows(encoder, latents, dtype), _rows(decoder, latents, dtype)
    size, most = (len(inputs), len(latents)), len(inputs) * len(encoder)
    codes, slopes = _matrix(size, most, inputs), _matrix(size, most, inputs)
    scores = _matrix((_BLOCK_ROWS, len(latents)), _BLOCK_ROWS * len(encoder), centred)
    towards, loss, to_bias = torch.empty_like(inputs), centred.new_zeros(()), torch.zeros_like(bias)
    for start in range(0, len(inputs), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        torch.mm(inputs[block], w_enc.T, out=codes[block])
        z = scores[: len(codes[block])].copy_(codes[block]).add_(bias)
        low = codes[block].copy_(keep_largest_(z, k).relu_())
        away = (low @ w_dec).float() - error[block]
        loss = loss + weight * away.square().sum()
        towards[block] = 2 * weight * away
        torch.mm(towards[block], w_dec.T, out=slopes[block]).mul_(low > 0)
        to_bias += scores[: len(low)].copy_(slopes[block]).sum(dim=0)
    rows = AddedRows(latents, _product(codes.T, towards, decoder), _product(slopes.T, inputs, encoder))
    return Auxiliary(loss, rows, to_bias)


def _rows(weights: Tensor, latents: Tensor, dtype: torch.dtype) -> Tensor:
    rows = _matrix((len(latents), weights.shape[1]), weights.numel(), weights.new_empty(0, dtype=dtype))
    for start in range(0, len(latents), _BLOCK_ROWS):
        rows[start : start + _BLOCK_ROWS] = weights[latents[start : start + _BLOCK_ROWS]]
    return rows


def _product(codes: Tensor, x: Tensor, weights: Tensor) -> Tensor:
    size, most = (len(codes), x.shape[1]), weights.numel()
    return _matrix(size, most, weights).copy_(torch.mm(codes, x, out=_matrix(size, most, x)))


def _matrix(size: tuple[int, int], most: int, like: Tensor) -> Tensor:
    """An empty matrix, on a CPU in room for `most` numbers.

    The number of dead latents changes from step to step. Allocations that do so leave the heap full of holes; those of
    one size are used again, and the pages of them that nobody touches cost nothing.
    """
    numbers = size[0] * size[1]
    return like.new_empty(most if like.device.type == "cpu" else numbers)[:numbers].view(size)
