"""Reading files that somebody else made: JSON and tensors, whole, finite and of the shapes that belong together."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from sae.dictionaries.dictionary import Dictionary
from sae.errors import AtlasError


@dataclass(frozen=True, eq=False)
class ForeignDictionary:
    """What was read: the dictionary over raw activations, and the settings that its file states."""

    dictionary: Dictionary
    config: Mapping[str, Any]
    """The format's own settings as they stand there; empty where it has none."""


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises AtlasError where the file is missing, no JSON, or no object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise AtlasError(f"{path} is missing or damaged: {_words(error)}") from error
    if not isinstance(value, dict):
        raise AtlasError(f"{path} is damaged: a mapping is wanted.")
    return value


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises AtlasError where it is missing or damaged."""
    try:
        return load_file(os.fspath(path))
    except (SafetensorError, OSError) as error:
        raise AtlasError(f"{path} is missing or damaged: {_words(error)}") from error


def take(tensors: Mapping[str, Tensor], path: Path, *names: str) -> list[Tensor]:
    """The tensors of those names, float32. Raises AtlasError naming those that are absent or hold other numbers."""
    if absent := sorted(set(names) - set(tensors)):
        raise AtlasError(f"{path} lacks {', '.join(absent)}; it holds {', '.join(sorted(tensors)) or 'nothing'}.")
    for name in names:
        if not tensors[name].is_floating_point():
            raise AtlasError(f"{path}: {name} holds {tensors[name].dtype}, not floating-point numbers.")
        if not tensors[name].isfinite().all():
            raise AtlasError(f"{path}: {name} holds values that are not finite.")
    return [tensors[name].float().contiguous() for name in names]


def take_matrices(tensors: Mapping[str, Tensor], path: Path, *names: str) -> list[Tensor]:
    """As `take`, for tensors of two dimensions."""
    taken = take(tensors, path, *names)
    for name, tensor in zip(names, taken, strict=True):
        if tensor.ndim != 2:
            raise AtlasError(f"{path}: {name} is of shape {list(tensor.shape)}; a matrix is wanted.")
    return taken


def assemble(path: Path, **parts: Any) -> Dictionary:
    """A dictionary of the parts read from `path`. Raises AtlasError where they do not fit together."""
    if parts["W_enc"].ndim != 2 or 0 in parts["W_enc"].shape:
        raise AtlasError(f"{path}: the encoder is of shape {list(parts['W_enc'].shape)}; [d_in, d_sae] is wanted.")
    contiguous: dict[str, Any] = {
        name: part.contiguous() if isinstance(part, Tensor) else part for name, part in parts.items()
    }
    try:
        return Dictionary(**contiguous)
    except AtlasError as error:
        raise AtlasError(f"{path}: {error}") from error


def whole_number(config: Mapping[str, Any], key: str, path: Path) -> int:
    """A positive whole number of a config. Raises AtlasError where it is anything else."""
    value = config.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise AtlasError(f"{path}: {key} is {value!r}; a positive whole number is wanted.")
    return value


def check_sizes(dictionary: Dictionary, path: Path, **stated: object) -> None:
    """Raises AtlasError where the config at `path` states another `d_in` or `d_sae` than the weights have."""
    for name, value in stated.items():
        if value is not None and value != getattr(dictionary, name):
            raise AtlasError(f"{path}: {name} is {value!r}, but the weights have {getattr(dictionary, name)}.")


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
