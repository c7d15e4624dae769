"""What a model offers for reading: its hookpoints with their widths, and the facts that decide how it is read."""

from dataclasses import dataclass
from pathlib import Path

import torch

from sae.config import ModelConfig
from sae.errors import AtlasError
from sae.models.hookpoints import list_hookpoints
from sae.models.loading import TRAINED_HERE, source_of, transformers_subject
from sae.models.sources import load_source
from sae.models.structure import named_places
from sae.models.subject import Subject


@dataclass(frozen=True)
class HookpointFacts:
    """One place whose output can be read."""

    hookpoint: str
    module: str
    """Path in the model; the hookpoint itself where it is one."""
    shape: tuple[int, ...]
    """Of the output at one position."""


@dataclass(frozen=True)
class ModelFacts:
    """What `atlas models inspect` prints."""

    name: str
    architecture: str
    source: str
    revision: str | None
    n_parameters: int
    n_layers: int
    d_model: int
    dtype: str
    modalities: tuple[str, ...]
    context_size: int | None
    """Most positions that it reads; None where it states no limit."""
    vocabulary_size: int
    special_tokens: dict[str, int]
    """Control tokens and their ids: marked when harvested, and kept out of training."""
    hookpoints: tuple[HookpointFacts, ...]
    """Blocks, their parts, then raw module paths."""


def inspect_source(config: ModelConfig, name: str, base: Path) -> ModelFacts:
    """Load a model as a config names it, and describe it; nothing is written.

    Raises AtlasError where it cannot be loaded, and for those that exist only once they are trained.
    """
    if config.source in TRAINED_HERE:
        raise AtlasError(f"`{config.source}` is trained by `atlas run`; after that its name can be inspected.")
    source = source_of(config, base)
    loaded = load_source(source, config.revision, getattr(torch, config.dtype), config.attention)
    return inspect_subject(transformers_subject(loaded, name, config.source, loaded.revision))


def inspect_subject(subject: Subject) -> ModelFacts:
    """Describe a model that is loaded, by a pass over a few tokens."""
    codec = subject.codec
    places = named_places(subject.module)
    limited = codec.context_size < _UNLIMITED
    return ModelFacts(
        name=subject.name,
        architecture=subject.architecture,
        source=subject.source,
        revision=subject.revision,
        n_parameters=subject.n_parameters,
        n_layers=subject.n_layers,
        d_model=subject.d_model,
        dtype=str(next(subject.module.parameters()).dtype).removeprefix("torch."),
        modalities=tuple(subject.modalities),
        context_size=codec.context_size if limited else None,
        vocabulary_size=codec.vocabulary_size,
        special_tokens=codec.special_tokens,
        hookpoints=tuple(
            HookpointFacts(name, places.get(name, name), shape) for name, shape in list_hookpoints(subject).items()
        ),
    )


_UNLIMITED = 10**9
