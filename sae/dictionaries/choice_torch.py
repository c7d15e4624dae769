"""The choice of active latents in torch's operators, for other devices than the CPU. What each gives, `choice` says."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sae.dictionaries.support import Support


def topk(x: Tensor, encoder: Tensor, bias: Tensor, k: int, dtype: torch.dtype) -> Support:
    """As `choice.topk`, with k entries for every token."""
    chosen = _scores(x, encoder, bias, dtype).topk(k, dim=1, sorted=False).indices
    return Support.from_rows(chosen, len(encoder))


def batch_topk(
    x: Tensor, encoder: Tensor, bias: Tensor, groups: Sequence[int], k: Sequence[int], dtype: torch.dtype
) -> Support:
    """As `choice.batch_topk`."""
    parts = _scores(x, encoder, bias, dtype).split(list(groups), dim=1)
    masks = [_most(part, min(each * len(x), part.numel())) for part, each in zip(parts, k, strict=True)]
    return Support.from_mask(torch.cat(masks, dim=1))


def above(x: Tensor, encoder: Tensor, bias: Tensor, dtype: torch.dtype) -> Support:
    """As `choice.above`."""
    return Support.from_mask(_scores(x, encoder, bias, dtype) > 0)


def keep_largest_(scores: Tensor, k: int) -> Tensor:
    """As `choice.keep_largest_`."""
    values, chosen = scores.topk(k, dim=1, sorted=False)
    return scores.zero_().scatter_(1, chosen, values.relu())


def _scores(x: Tensor, encoder: Tensor, bias: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.addmm(bias.to(dtype), x.to(dtype), encoder.T.to(dtype))


def _most(scores: Tensor, count: int) -> Tensor:
    chosen = scores.flatten().topk(count, sorted=False).indices
    active = torch.zeros(scores.numel(), dtype=torch.bool, device=scores.device)
    active[chosen] = True
    return active.view_as(scores) & (scores > 0)
