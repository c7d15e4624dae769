"""Thresholds that follow the least code which a batch kept."""

import torch
from torch import Tensor

_MEMORY = 0.99


def follow(thresholds: Tensor, number: int, codes: Tensor) -> None:
    """Move thresholds[number] to the running mean of the least positive code of each batch; the first sets it."""
    if not len(codes):
        return
    least = torch.where(codes > 0, codes, torch.inf).min()
    before = thresholds[number]
    memory = torch.where(before == 0, 0.0, _MEMORY)
    thresholds[number] = torch.where(least.isinf(), before, memory * before + (1 - memory) * least)
