"""Compiled loops over arrays on the CPU, and their division among threads."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from threading import Lock
from typing import Any

import numpy as np

from sae.dictionaries.machine_code import Native, Spec, load

Room = Sequence[tuple[int, Any]]
"""Length and dtype of arrays that a kernel needs to work in."""


def compiled(function: Callable[..., int | None]) -> "Kernel":
    """The function as machine code, made at its first call and kept beside the source or in the user's cache.

    Where neither place can be written to, it is made anew in each process.
    """
    return Kernel(function)


class Kernel:
    """A function of numbers, arrays, and tuples of these that returns nothing, allocates nothing and raises nothing.

    It is compiled for each kind of arguments that it is called with (`machine_code`). Kernels may call others of
    their file; those that are only called so may return a number.
    """

    def __init__(self, function: Callable[..., int | None]):
        self.function = function
        self._natives: dict[tuple[Spec, ...], Native] = {}
        self._loading = Lock()

    def __call__(self, *arguments: Any) -> None:
        """Run it. Other threads go on meanwhile."""
        values: list[int | float] = []
        specs = tuple(_flatten(argument, values) for argument in arguments)
        if specs not in self._natives:
            with self._loading:
                if specs not in self._natives:
                    self._natives[specs] = load(self.function, specs)
        self._natives[specs].call(values)


def over_parts(total: int, kernel: Callable[..., None], *arguments: Any, room: Room = ()) -> None:
    """`kernel(start, stop, *arguments)` over parts of range(`total`), as many as torch has threads, at the same time.

    What a kernel writes for one index must not depend on another: then the division leaves every bit as it is. Each
    part has empty arrays of its own as `room`, its last arguments.
    """
    import torch  # Here, so that the process that compiles kernels starts without it.

    def run(start: int, stop: int) -> None:
        kernel(start, stop, *arguments, *(np.empty(size, dtype) for size, dtype in room))

    parts = min(torch.get_num_threads(), total)
    if parts <= 1:
        run(0, total)
        return
    edges = [total * part // parts for part in range(parts + 1)]
    with ThreadPoolExecutor(parts) as pool:
        running = [pool.submit(run, start, stop) for start, stop in pairwise(edges)]
        for part in running:
            part.result()


def _flatten(argument: Any, values: list[int | float]) -> Spec:
    """Append what numba's calling convention wants for an argument; returns its kind."""
    if isinstance(argument, np.ndarray):
        owners, (data, _) = (0, 0), argument.__array_interface__["data"]
        values += (*owners, argument.size, argument.itemsize, data, *argument.shape, *argument.strides)
        return _array_spec(argument.dtype, argument.ndim, argument.flags.c_contiguous)
    if isinstance(argument, tuple):
        return tuple(_flatten(one, values) for one in argument)
    if isinstance(argument, np.generic):
        values.append(argument.item())
        return argument.dtype.name
    values.append(argument)
    return "float64" if isinstance(argument, float) else "int64"


@cache  # numpy makes the name anew each time, which takes longer than some kernels
def _array_spec(dtype: np.dtype[Any], dimensions: int, contiguous: bool) -> str:
    return f"{dtype.name} {dimensions}{'C' if contiguous else 'A'}"
