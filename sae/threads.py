"""How many threads torch uses: one where there is little to do."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

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


@contextmanager
def side_by_side(n: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """`map` over `n` threads, each of which does every operation by itself; the plain one for a single thread."""
    if n == 1:
        yield map
        return
    with one_thread(), ThreadPoolExecutor(n) as pool:
        yield pool.map


def threads_for(products: int) -> AbstractContextManager[None]:
    """One thread for steps of so few multiplications, otherwise as many as there are, as long as the block lasts."""
    return one_thread() if is_small(products) else nullcontext()


def is_small(products: int) -> bool:
    """Whether a step of so many multiplications is done on one thread."""
    return products < _ONE_THREAD_PRODUCTS
