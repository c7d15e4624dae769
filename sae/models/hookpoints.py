"""Hookpoints: the places in a model whose output can be read or replaced.

`layers.N` is the output of block N (0-based) of the model's stack of blocks, `layers.N.attn` and `layers.N.mlp` what
its attention and its MLP add to the residual stream; any module's own path is a hookpoint too.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn

from sae.errors import AtlasError
from sae.models.structure import block_paths, named_places
from sae.models.subject import Subject

_PROBE = (3, 5)
"""Batch and length of the probe that finds out what a model's modules return."""


class _AllRead(Exception):  # noqa: N818 - a signal, not a fault
    """Ends a forward pass whose wanted outputs have all been read."""


def list_hookpoints(subject: Subject) -> dict[str, tuple[int, ...]]:
    """Every hookpoint with the shape of its output at one position: blocks, their parts, then raw module paths.

    Found by running the model on a few tokens: what counts is a module that returns [batch, time, …], or with the
    positions of all rows in one dimension.
    """
    modules = dict(subject.module.named_modules())
    shapes: dict[str, tuple[int, ...]] = {}

    def note(path: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            hidden = _unflattened(_first_tensor(output), _PROBE)
            if hidden is not None and hidden.ndim >= 3 and tuple(hidden.shape[:2]) == _PROBE:
                shapes.setdefault(path, tuple(hidden.shape[2:]))

        return hook

    with ExitStack() as stack, torch.no_grad():
        for path, module in modules.items():
            if path:
                stack.callback(module.register_forward_hook(note(path)).remove)
        subject.module(**probe(subject))
    named = {name: shapes[path] for name, path in named_places(subject.module).items() if path in shapes}
    return named | {path: shapes[path] for path in modules if path in shapes and path not in named}


def hook_module(subject: Subject, hookpoint: str) -> nn.Module:
    """The module whose output is the hookpoint. Raises AtlasError that lists those the model has, the near ones first.

    The same module under several names, `layers.3` and its own path, is one module.
    """
    path = named_places(subject.module).get(hookpoint, hookpoint)
    modules = dict(subject.module.named_modules())
    if path and path in modules:
        return modules[path]
    known = list_hookpoints(subject)
    blocks = [name for name in block_paths(subject.module) if name in known]
    others = [name for name in known if name not in blocks]
    more = f"; and {len(others)} module paths, such as {', '.join(others[:3])}" if others else ""
    listed = ", ".join(blocks) if len(blocks) <= 8 else f"{blocks[0]} to {blocks[-1]}"
    near = get_close_matches(hookpoint, known, n=3, cutoff=0.7)
    close = f" Near it: {', '.join(near)}." if near else ""
    raise AtlasError(f"{subject.name} has no hookpoint {hookpoint!r}.{close} It has: {listed}{more}.")


def hookpoint_width(subject: Subject, hookpoint: str) -> int:
    """Dimensions of a hookpoint's output, found by a pass over a few tokens that ends there.

    Raises AtlasError on an unknown hookpoint and on one that does not return [batch, time, d].
    """
    with torch.no_grad():
        return read_outputs(subject, probe(subject), [hookpoint])[hookpoint].shape[-1]


def read_outputs(subject: Subject, inputs: dict[str, Tensor], hookpoints: Sequence[str]) -> dict[str, Tensor]:
    """The outputs [b, t, d] at some hookpoints of a collated batch; the pass stops after the last of them.

    Gradients flow where the caller has them switched on. A module that is called several times gives its first call.
    Raises AtlasError on an unknown hookpoint, and on a module that the pass never calls.
    """
    return read_modules(subject, inputs, {hookpoint: hook_module(subject, hookpoint) for hookpoint in hookpoints})


def read_modules(subject: Subject, inputs: dict[str, Tensor], wanted: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """`read_outputs` of modules that are found already: what a loop over batches calls."""
    read: dict[str, Tensor] = {}
    shape = inputs["input_ids"].shape

    def reader(hookpoint: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            hidden = _unflattened(_first_tensor(output), shape)
            if hidden is None or hidden.ndim != 3:
                raise AtlasError(f"{hookpoint} of {subject.name} does not return [batch, time, d]; take another one.")
            if hookpoint in read:
                return
            last = len(read) + 1 == len(wanted)
            # What follows may add to the tensor in place (Falcon's parallel blocks do); after the last nothing follows.
            read[hookpoint] = hidden if last else hidden.clone()
            if last:
                raise _AllRead

        return hook

    with ExitStack() as stack:
        for hookpoint, module in wanted.items():
            stack.callback(module.register_forward_hook(reader(hookpoint)).remove)
        try:
            subject.module(**inputs)
        except _AllRead:
            return {hookpoint: read[hookpoint] for hookpoint in wanted}
    missing = ", ".join(sorted(set(wanted) - set(read)))
    raise AtlasError(f"A forward pass of {subject.name} never calls {missing or 'a hookpoint: none was named'}.")


@contextmanager
def replaced_output(module: nn.Module, replace: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Within the block, `replace` maps the module's output [b, t, d] to what the model goes on with.

    A module that returns a tuple keeps its other parts. Raises AtlasError, in the pass, on one that returns the
    positions of all rows in one dimension, which can be read but not told apart here (the MLPs of OPT).
    """

    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        hidden = _first_tensor(output)
        if hidden is None or hidden.ndim != 3:
            raise AtlasError(
                f"A {type(module).__name__} that does not return [batch, time, d] cannot be replaced; take its block."
            )
        if isinstance(output, Tensor):
            return replace(output)
        return (replace(output[0]), *output[1:])

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def probe(subject: Subject) -> dict[str, Tensor]:
    """A few tokens as a collated batch, to find out what a model's modules take and return."""
    ids = torch.zeros(_PROBE, dtype=torch.int64, device=subject.device)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def _unflattened(hidden: Tensor | None, shape: Sequence[int]) -> Tensor | None:
    """[b · t, d] as [b, t, d]; everything else as it is."""
    if hidden is not None and hidden.ndim == 2 and len(hidden) == shape[0] * shape[1]:
        return hidden.unflatten(0, tuple(shape))
    return hidden


def _first_tensor(output: Any) -> Tensor | None:
    if isinstance(output, tuple | list) and output:
        output = output[0]
    return output if isinstance(output, Tensor) else None
