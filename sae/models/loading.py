"""Subjects on disk: a folder of safetensors and JSON, written once from a source and opened by `load_subject`.

`atlas.json` in the folder says what it holds: kind (world or transformers), source, revision, dtype and model_id.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sae.config import ModelConfig
from sae.errors import AtlasError
from sae.identity import tensors_id
from sae.models.encoding import Codec
from sae.models.heads import predicts_next
from sae.models.processors import patch_id, save_processor
from sae.models.sources import LoadedSource, load_source
from sae.models.structure import context_size, layer_count
from sae.models.subject import Subject, count_parameters, freeze
from sae.models.transformers_codec import TransformersCodec
from sae.models.vision_codec import VisionCodec

DESCRIPTION = "atlas.json"
TRAINED_HERE = ("world", "one_layer")
"""Sources whose model no one has until it is trained."""


def materialise_model(
    config: ModelConfig,
    name: str,
    seed: int,
    base: Path,
    folder: Path,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> Subject:
    """Fetch, convert or (the sources `TRAINED_HERE`) train a model into `folder`, and open it.

    A relative folder in the config starts at `base`; `on_step(done, total)` counts training steps.
    """
    if config.source not in TRAINED_HERE:
        materialise_transformers(source_of(config, base), config.revision, config.dtype, folder)
        return load_subject(folder, name, config.device, config.attention)
    folder.mkdir(parents=True, exist_ok=True)
    train = _train_world if config.source == "world" else _train_one_layer
    train(config, seed, folder, on_step)
    return load_subject(folder, name, config.device, config.attention)


def _train_world(config: ModelConfig, seed: int, folder: Path, on_step: Callable[[int, int], None]) -> None:
    from sae.world.loading import load_world_lm, save_world
    from sae.world.training import train_world_lm

    save_world(train_world_lm(seed, config.steps, on_step), folder)
    _describe(folder, "world", "world", None, "float32", load_world_lm(folder, "world").model_id)


def _train_one_layer(config: ModelConfig, seed: int, folder: Path, on_step: Callable[[int, int], None]) -> None:
    from sae.one_layer.training import train_one_layer

    model, tokenizer = train_one_layer(config.tokens, seed, seed if config.seed is None else config.seed, on_step)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    _describe(folder, "transformers", "one_layer", None, "float32", tensors_id(model.state_dict()))


def source_of(config: ModelConfig, base: Path) -> str:
    """The config's source, a relative folder or file as its whole path; it starts at `base`."""
    local = base / Path(config.source).expanduser()
    return str(local) if local.exists() else config.source


def materialise_transformers(source: str, revision: str | None, dtype: str, folder: Path) -> str:
    """Write a model and its tokenizer into `folder` and return its model_id, the hash of its weights.

    `source` is a hub id, a folder, or `package://<package>/<file>.gguf`; `dtype` the number format of the weights and
    of the forward pass. Raises AtlasError where the source is missing or holds no weights that can be read safely.
    """
    loaded = load_source(source, revision, getattr(torch, dtype))
    folder.mkdir(parents=True, exist_ok=True)
    loaded.model.save_pretrained(folder)
    if loaded.processor is None:
        loaded.tokenizer.save_pretrained(folder)
    else:
        save_processor(loaded.processor, folder)
    model_id = tensors_id(loaded.model.state_dict())
    _describe(folder, "transformers", source, loaded.revision, dtype, model_id)
    return model_id


def load_subject(folder: Path, name: str, device: str = "auto", attention: str = "auto") -> Subject:
    """Open a model's folder; `device` is `cpu`, `cuda` or `auto` (a GPU where there is one).

    `attention` names the kernel, as in the config; the demo world's model has one of its own. Raises AtlasError where
    the folder is incomplete, its weights are not those it was written with, or the kernel is not to be had.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        raise AtlasError(f"{folder} holds no model: {DESCRIPTION} is missing. `atlas run` makes it again.")
    described = json.loads(path.read_text(encoding="utf-8"))
    if described["kind"] == "world":
        # Imported here: the demo world is one of several sources, and a real model does not need it.
        from sae.world.loading import load_world_lm

        subject = load_world_lm(folder, name)
    else:
        subject = _load_transformers(folder, name, described, attention)
    if subject.model_id != described["model_id"]:
        raise AtlasError(f"The weights in {folder} are damaged: their hash is not the recorded one. Delete the folder.")
    subject.module.to(_device(device))
    return subject


def _describe(folder: Path, kind: str, source: str, revision: str | None, dtype: str, model_id: str) -> None:
    described = {"kind": kind, "source": source, "revision": revision, "dtype": dtype, "model_id": model_id}
    (folder / DESCRIPTION).write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")


def _load_transformers(folder: Path, name: str, described: dict[str, Any], attention: str) -> Subject:
    loaded = load_source(str(folder), None, getattr(torch, described["dtype"]), attention)
    return transformers_subject(loaded, name, described["source"], described["revision"])


def transformers_subject(loaded: LoadedSource, name: str, source: str, revision: str | None) -> Subject:
    """A loaded transformers model as a subject of study."""
    model: Any = loaded.model
    config = model.config.get_text_config()
    # Nothing here generates through the cache, and each pass would fill one.
    config.use_cache = False
    sizes = (config.vocab_size, context_size(model))
    pictures = loaded.processor is not None
    codec: Codec = (
        VisionCodec(loaded.processor, *sizes, patch_id(model.config))
        if pictures
        else TransformersCodec(loaded.tokenizer, *sizes)
    )
    module: nn.Module = freeze(model)
    return Subject(
        name=name,
        model_id=tensors_id(module.state_dict()),
        architecture=type(model).__name__,
        module=module,
        codec=codec,
        n_layers=layer_count(model) or 0,
        d_model=config.hidden_size,
        n_parameters=count_parameters(module),
        modalities=("text", "code", "image") if pictures else ("text", "code"),
        source=source,
        revision=revision,
        predicts_next=predicts_next(model),
    )


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise AtlasError("`device: cuda` is wanted, but there is no CUDA device. Set `device: auto` or `cpu`.")
    return torch.device("cuda" if name == "auto" and torch.cuda.is_available() else name.replace("auto", "cpu"))
