"""Hookpoints: the places in a model whose output can be read or replaced.

`layers.N` is the output of block N (0-based) of the model's stack of blocks; any module's own path is a hookpoint too.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sae.errors import AtlasError
from sae.models.subject import Subject

_PROBE = (2, 3)
"""Batch and length of the probe that finds out what a model's modules return."""


class _AllRead(Exception):  # noqa: N818 - a signal, not a fault
    """Ends a forward pass whose wanted outputs have all been read."""


def list_hookpoints(subject: Subject) -> dict[str, tuple[int, ...]]:
    """Every hookpoint with the shape of its output at one position: blocks first, then raw module paths.

    Found by running the model on a few tokens: what counts is a module that returns [batch, time, …].
    """
    modules = dict(subject.module.named_modules())
    shapes: dict[str, tuple[int, ...]] = {}

    def note(path: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            hidden = _first_tensor(output)
            if hidden is not None and hidden.ndim >= 3 and tuple(hidden.shape[:2]) == _PROBE:
                shapes.setdefault(path, tuple(hidden.shape[2:]))

        return hook

    ids = torch.zeros(_PROBE, dtype=torch.int64, device=subject.device)
    with ExitStack() as stack, torch.no_grad():
        for path, module in modules.items():
            if path:
                stack.callback(module.register_forward_hook(note(path)).remove)
        subject.module(input_ids=ids, attention_mask=torch.ones_like(ids))
    blocks = block_paths(subject.module)
    named = {name: shapes[path] for name, path in blocks.items() if path in shapes}
    return named | {path: shapes[path] for path in modules if path in shapes and path not in named}


def hook_module(subject: Subject, hookpoint: str) -> nn.Module:
    """The module whose output is the hookpoint. Raises AtlasError that lists those the model has."""
    path = block_paths(subject.module).get(hookpoint, hookpoint)
    modules = dict(subject.module.named_modules())
    if path and path in modules:
        return modules[path]
    known = list_hookpoints(subject)
    blocks = [name for name in known if name.startswith("layers.") and name.count(".") == 1]
    others = [name for name in known if name not in blocks]
    more = f"; and {len(others)} module paths, such as {', '.join(others[:3])}" if others else ""
    listed = ", ".join(blocks) if len(blocks) <= 8 else f"{blocks[0]} to {blocks[-1]}"
    raise AtlasError(f"{subject.name} has no hookpoint {hookpoint!r}. It has: {listed}{more}.")


def read_outputs(subject: Subject, inputs: dict[str, Tensor], hookpoints: Sequence[str]) -> dict[str, Tensor]:
    """The outputs [b, t, d] at some hookpoints of a collated batch; the pass stops after the last of them.

    Gradients flow where the caller has them switched on. A module that is called several times gives its first call.
    Raises AtlasError on an unknown hookpoint, and on a module that the pass never calls.
    """
    read: dict[str, Tensor] = {}
    wanted = {hookpoint: hook_module(subject, hookpoint) for hookpoint in hookpoints}

    def reader(hookpoint: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            hidden = _first_tensor(output)
            if hidden is None or hidden.ndim != 3:
                raise AtlasError(f"{hookpoint} of {subject.name} does not return [batch, time, d]; take another one.")
            read.setdefault(hookpoint, hidden)
            if len(read) == len(wanted):
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

    A module that returns a tuple keeps its other parts.
    """

    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        if isinstance(output, Tensor):
            return replace(output)
        return (replace(output[0]), *output[1:])

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def block_paths(module: nn.Module) -> dict[str, str]:
    """`layers.N` to the module path of block N.

    The stack of blocks is the outermost list of as many modules as the config has layers, else the longest one; where
    two are equally long, as in encoder-decoders, it is the last one, the decoder's. A model that names its applications
    itself, in a ModuleDict `layers`, keeps those names.
    """
    own = getattr(module, "layers", None)
    if isinstance(own, nn.ModuleDict):
        return {f"layers.{name}": f"layers.{name}" for name in own}
    lists = {path: len(child) for path, child in module.named_modules() if isinstance(child, nn.ModuleList)}
    outer = {p: n for p, n in lists.items() if n and not any(p.startswith(f"{other}.") for other in lists)}
    wanted = layer_count(module)
    stacks = [path for path, n in outer.items() if n == (wanted or max(outer.values()))]
    return {f"layers.{n}": f"{stacks[-1]}.{n}" for n in range(outer[stacks[-1]])} if stacks else {}


def layer_count(module: nn.Module) -> int | None:
    """Number of blocks that a transformers config states for the text model; None without one."""
    config: Any = getattr(module, "config", None)
    return config.get_text_config().num_hidden_layers if hasattr(config, "get_text_config") else None


def _first_tensor(output: Any) -> Tensor | None:
    if isinstance(output, tuple | list) and output:
        output = output[0]
    return output if isinstance(output, Tensor) else None
