"""How many threads torch uses: one where there is little to do."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_ONE_THREAD_PRODUCTS = 10**9
"""Multiplications of a step below which one thread is used: waking a second one costs more than it does, and on a busy
machine twenty times more."""


@contextmanager
def threads_for(products: int) -> Iterator[None]:
    """One thread for steps of so few multiplications, otherwise as many as there are, as long as the block lasts."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if products < _ONE_THREAD_PRODUCTS else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
