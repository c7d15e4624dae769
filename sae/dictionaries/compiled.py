"""Compiled loops over tensors on the CPU, and their division among threads."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numba
import torch

_REORDERED = {"contract", "reassoc", "nsz"}
"""Sums may be taken in the order that fills vector registers, always the same. NaN and infinity stay what they are."""


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as machine code, made at its first call and kept beside the source or in the user's cache.

    Where neither place can be written to, it is made anew in each process.
    """
    try:
        return numba.njit(cache=True, nogil=True, fastmath=_REORDERED, error_model="numpy")(function)
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        return numba.njit(nogil=True, fastmath=_REORDERED, error_model="numpy")(function)


def over_parts(total: int, kernel: Callable[..., Any], *arguments: Any) -> None:
    """`kernel(start, stop, *arguments)` over parts of range(`total`), as many as torch has threads, at the same time.

    What a kernel writes for one index must not depend on another: then the division leaves every bit as it is.
    """
    parts = min(torch.get_num_threads(), total)
    if parts <= 1:
        kernel(0, total, *arguments)
        return
    edges = [total * part // parts for part in range(parts + 1)]
    with ThreadPoolExecutor(parts) as pool:
        running = [pool.submit(kernel, start, stop, *arguments) for start, stop in pairwise(edges)]
        for part in running:
            part.result()
