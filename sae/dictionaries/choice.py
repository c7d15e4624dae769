"""The choice of active latents: the one product of a step that is dense.

It may run in bfloat16: it only chooses, the values are computed again in float32. On the CPU the scores of a few
hundred tokens at a time are computed and chosen from while they are in the cache; a whole batch of them never exists.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from sae.dictionaries import choice_kernels, choice_torch
from sae.dictionaries.compiled import over_parts
from sae.dictionaries.support import Support

_BLOCK_ROWS = 256
_LANES_PER_K = 8
_LEAST_LANES = 64
_BINS = 1 << 15
"""Bit patterns of positive bfloat16, and of float32 cut to 16 bits."""


def topk(x: Tensor, encoder: Tensor, bias: Tensor, k: int, dtype: torch.dtype) -> Support:
    """For each token x [n, d] the k latents with the largest positive scores encoder·x + bias (Gao et al. 2024, §2.3).

    Of a token with fewer positive scores the rest may be there or not: the ReLU after TopK makes them 0.
    """
    n, d_sae = len(x), len(encoder)
    if x.device.type != "cpu":
        return choice_torch.topk(x, encoder, bias, k, dtype)
    lanes = min(d_sae, max(_LEAST_LANES, 1 << (_LANES_PER_K * k - 1).bit_length()))
    chosen, counts = np.empty((n, k), np.int64), np.empty(n, np.int64)
    for start, scores in _score_blocks(x, encoder, bias, dtype):
        block = slice(start, start + len(scores))
        given = (scores, k, lanes, _top(scores), chosen[block], counts[block])
        room = ((lanes, scores.dtype), (d_sae, np.int32), (d_sae, scores.dtype))
        over_parts(len(scores), choice_kernels.largest, *given, room=room)
    return _without(Support.from_rows(torch.from_numpy(chosen), d_sae), torch.from_numpy(_filled(counts, k)))


def batch_topk(
    x: Tensor, encoder: Tensor, bias: Tensor, groups: Sequence[int], k: Sequence[int], dtype: torch.dtype
) -> Support:
    """Of each group of latents, the n·k largest positive scores of the batch x [n, d] (Bussmann et al. 2024, §3).

    `groups` are sizes that add up to d_sae. The entries of a token are in the order of their latents.
    """
    if x.device.type != "cpu":
        return choice_torch.batch_topk(x, encoder, bias, groups, k, dtype)
    n, d_sae = len(x), len(encoder)
    stops = np.cumsum(groups)
    wanted = [min(each * n, size * n) for each, size in zip(k, groups, strict=True)]
    pools = [
        _Pool(int(stop) - size, int(stop), count, dtype)
        for stop, size, count in zip(stops, groups, wanted, strict=True)
    ]
    for start, scores in _score_blocks(x, encoder, bias, dtype):
        for pool in pools:
            pool.add(scores, start)
    rows, columns = (np.concatenate(part) for part in zip(*(pool.best() for pool in pools), strict=True))
    if len(pools) > 1:
        order = np.argsort(rows, kind="stable")
        rows, columns = rows[order], columns[order]
    return Support.from_entries(torch.from_numpy(rows), torch.from_numpy(columns), n, d_sae)


def above(x: Tensor, encoder: Tensor, bias: Tensor, dtype: torch.dtype) -> Support:
    """The latents with a positive score encoder·x + bias, in order, of each token x [n, d]."""
    if x.device.type != "cpu":
        return choice_torch.above(x, encoder, bias, dtype)
    n, d_sae = len(x), len(encoder)
    found = []
    for start, scores in _score_blocks(x, encoder, bias, dtype):
        found.append(_gathered(scores, 0, d_sae, 1, start, int((scores > 0).sum()))[:2])
    rows, columns = (torch.from_numpy(np.concatenate(part)) for part in zip(*found, strict=True))
    return Support.from_entries(rows, columns, n, d_sae)


def keep_largest_(scores: Tensor, k: int) -> Tensor:
    """Set all but the k largest positive scores of each row to 0, in the contiguous float32 [n, m] itself."""
    if scores.device.type != "cpu":
        return choice_torch.keep_largest_(scores, k)
    bits = scores.view(torch.int32).numpy()
    over_parts(len(scores), choice_kernels.keep_largest, bits, k, _top(bits))
    return scores


class _Pool:
    """The candidates for the `wanted` largest scores of some columns, block after block.

    What lies below the `wanted`-th largest score so far can never be among the largest of all: the floor only rises.
    """

    def __init__(self, first: int, last: int, wanted: int, dtype: torch.dtype):
        self._columns = first, last
        self._wanted = wanted
        self._shift = 0 if dtype == torch.bfloat16 else 16
        self._seen = np.zeros(_BINS, np.int64)
        self._floor, self._reached = 1, 0
        self._parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add(self, scores: np.ndarray, start: int) -> None:
        choice_kernels.count_reaching(scores, *self._columns, self._floor, self._shift, self._seen)
        found = np.empty(2, np.int64)
        choice_kernels.floor_of(self._seen, self._wanted, self._shift, found)
        self._floor, self._reached = max(1, int(found[0])), int(found[1])
        self._parts.append(_gathered(scores, *self._columns, self._floor, start, self._reached))

    def best(self) -> tuple[np.ndarray, np.ndarray]:
        rows, columns, scores = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        keep = scores >= self._floor
        if keep.sum() > self._wanted:
            edge = np.partition(scores, len(scores) - self._wanted)[len(scores) - self._wanted]
            keep = scores > edge
            equal = np.flatnonzero(scores == edge)
            keep[equal[: self._wanted - keep.sum()]] = True
        return rows[keep], columns[keep]


def _gathered(
    scores: np.ndarray, first: int, last: int, floor: int, start: int, most: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    size = min(most, len(scores) * (last - first))
    rows, columns, kept = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size, scores.dtype)
    count = np.empty(1, np.int64)
    choice_kernels.gather_reaching(scores, first, last, floor, start, rows, columns, kept, count)
    return rows[: count[0]], columns[: count[0]], kept[: count[0]]


def _score_blocks(x: Tensor, encoder: Tensor, bias: Tensor, dtype: torch.dtype) -> Iterator[tuple[int, np.ndarray]]:
    """The integers that the scores' bits spell [≤ 256, d_sae], and the number of their first row, in one buffer."""
    weights, bias = encoder.to(dtype).T, bias.to(dtype)
    out = torch.empty(_BLOCK_ROWS, len(encoder), dtype=dtype)
    spelled = torch.int16 if dtype == torch.bfloat16 else torch.int32
    for start in range(0, len(x), _BLOCK_ROWS):
        rows = x[start : start + _BLOCK_ROWS].to(dtype)
        yield start, torch.addmm(bias, rows, weights, out=out[: len(rows)]).view(spelled).numpy()


def _without(support: Support, kept: Tensor) -> Support:
    if bool(kept.all()):
        return support
    return Support.from_entries(support.rows[kept], support.features[kept], support.n, support.d_sae)


def _filled(counts: np.ndarray, k: int) -> np.ndarray:
    return (np.arange(k) < counts[:, None]).reshape(-1)


def _top(scores: np.ndarray) -> int:
    return int(np.iinfo(scores.dtype).max)
