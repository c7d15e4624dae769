"""How many threads torch uses: one where there is little to do."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

_ONE_THREAD_PRODUCTS = 10**9
"""Multiplications of a step below which one thread is used: waking a second one costs more than it does, and on a busy
machine twenty times more."""


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for each operation, as long as the block lasts; threads that begin in it take this over."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def threads_for(products: int) -> AbstractContextManager[None]:
    """One thread for steps of so few multiplications, otherwise as many as there are, as long as the block lasts."""
    return one_thread() if products < _ONE_THREAD_PRODUCTS else nullcontext()
