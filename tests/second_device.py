"""A second device on a machine that has none: tensors that will not meet those of the CPU, as a GPU's will not.

Their numbers lie on the CPU and come out as there, to the bit; what is imitated is where a tensor is said to be. Each
function of torch that is handed tensors of both places fails with torch's own words, as does `numpy` on what was not
brought back. Like a GPU it takes an index, or a number of no dimensions, that lies on the CPU.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from sae.models.subject import Subject

CARD = torch.device("cuda", 0)
_CPU = torch.device("cpu")


class _OnCard(Tensor):
    """A tensor of the second device."""

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return _called(func, args, kwargs or {})


class _Card(TorchFunctionMode):
    """Makes tensors on the second device where they are asked for by its name."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return _called(func, args, kwargs or {})


@contextmanager
def second_device() -> Iterator[None]:
    """Within the block there is a device `CARD`."""
    with _Card():
        yield


def on_card(subject: Subject) -> Subject:
    """The same model with its parameters on `CARD`; to be used within `second_device`."""
    module = copy.deepcopy(subject.module)
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                part._parameters[name] = nn.Parameter(parameter.detach().as_subclass(_OnCard), requires_grad=False)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = buffer.as_subclass(_OnCard)
    return replace(subject, module=module)


def _called(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    carded = [isinstance(leaf, _OnCard) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    if func == torch.Tensor.device.__get__:  # pyright: ignore[reportAttributeAccessIssue]
        return CARD if any(carded) else _CPU
    if func == torch.Tensor.numpy and any(carded):
        raise TypeError(f"can't convert {CARD} device type tensor to numpy. Use Tensor.cpu() first.")
    target = _target(func, args, kwargs)
    if target is None or func not in (torch.Tensor.to, torch.Tensor.cpu):
        _refuse_both(func, args, kwargs)
    with torch._C.DisableTorchFunctionSubclass():
        made = func(*tree_map(_at_home, args), **tree_map(_at_home, dict(kwargs)))
    there = any(carded) if target is None else target.type == CARD.type
    return tree_map(lambda leaf: _placed(leaf, there), made)


def _target(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> torch.device | None:
    """The device that a call names."""
    if func == torch.Tensor.cpu:
        return _CPU
    named = [kwargs.get("device"), *(args[1:] if func == torch.Tensor.to else ())]
    for one in named:
        if isinstance(one, torch.device | str):
            return torch.device(one)
        if isinstance(one, Tensor):
            return CARD if isinstance(one, _OnCard) else _CPU
    return None


def _refuse_both(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    given: Any = (args, kwargs)
    if func == torch.Tensor.__getitem__ and isinstance(args[0], _OnCard):
        return
    if func == torch.Tensor.__setitem__ and isinstance(args[0], _OnCard):
        given = (args[0], args[2])
    tensors = [leaf for leaf in tree_leaves(given) if isinstance(leaf, Tensor)]
    there = [tensor for tensor in tensors if isinstance(tensor, _OnCard)]
    with torch._C.DisableTorchFunctionSubclass():
        here = [tensor for tensor in tensors if not isinstance(tensor, _OnCard) and tensor.ndim]
    if there and here:
        name = getattr(func, "__name__", str(func))
        raise RuntimeError(f"Expected all tensors to be on the same device, but found at least two devices in {name}")


def _at_home(value: Any) -> Any:
    return _CPU if isinstance(value, torch.device) or (isinstance(value, str) and value.startswith("cuda")) else value


def _placed(value: Any, there: bool) -> Any:
    if not isinstance(value, Tensor) or isinstance(value, _OnCard) is there:
        return value
    return value.as_subclass(_OnCard if there else Tensor)
