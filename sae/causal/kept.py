"""Keys and values of a prompt, kept so that a later pass goes on from any position of it."""

import inspect
from typing import Any

from torch import Tensor

from sae.models.encoding import Encoded
from sae.models.subject import Subject

KeysValues = list[tuple[Tensor, Tensor]]
"""Keys and values [1, heads, t, d_head] of every layer."""


def takes(subject: Subject, argument: str) -> bool:
    """Whether the model's forward pass has an argument of that name."""
    return argument in inspect.signature(subject.module.forward).parameters


def can_go_on(subject: Subject, encoded: Encoded) -> bool:
    """Whether the model may keep keys and values of this prompt. Pictures are read whole each time."""
    return encoded.image is None and takes(subject, "cache") and takes(subject, "use_cache")


def widens(subject: Subject) -> bool:
    """Whether rows may be added in the middle of a pass: not where position biases are laid out row by row (ALiBi)."""
    config = getattr(subject.module, "config", None)
    return getattr(config, "model_type", "") != "bloom" and not getattr(config, "alibi", False)


def kept_of(output: Any, length: int) -> KeysValues | None:
    """What a pass kept of the first `length` positions; None where it is not plain keys and values of each position.

    Windows that slide and states that recur cannot be cut back to an earlier position.
    """
    from transformers.cache_utils import DynamicCache, DynamicLayer

    cache = getattr(output, "cache", None)
    if not isinstance(cache, DynamicCache) or any(type(layer) is not DynamicLayer for layer in cache.layers):
        return None
    layers: list[Any] = list(cache.layers)
    if any(layer.keys is None or layer.keys.shape[-2] < length for layer in layers):
        return None
    return [(layer.keys[..., :length, :].detach(), layer.values[..., :length, :].detach()) for layer in layers]


def cut_back(kept: KeysValues, start: int) -> Any:
    """A transformers cache of the first `start` positions."""
    from transformers.cache_utils import DynamicCache

    return DynamicCache([(keys[..., :start, :], values[..., :start, :]) for keys, values in kept])


def widen(cache: Any, start: int, rows: int) -> None:
    """Give every layer that a pass from `start` has not come to yet `rows` rows of what it holds."""
    for layer in cache.layers:
        if layer.keys.shape[-2] == start:
            layer.keys = layer.keys.expand(rows, -1, -1, -1)
            layer.values = layer.values.expand(rows, -1, -1, -1)
