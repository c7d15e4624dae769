"""The world's model on disk: `model.safetensors`, `config.json` (sizes) and `vocabulary.json`."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from sae.errors import AtlasError
from sae.identity import tensors_id
from sae.models.subject import Subject, count_parameters, freeze
from sae.world.codec import WorldCodec, build_codec
from sae.world.model import WorldLM, WorldLMConfig

WEIGHTS, CONFIG, VOCABULARY = "model.safetensors", "config.json", "vocabulary.json"


def save_world(model: WorldLM, folder: Path) -> None:
    """Write a model that was trained by this version, with its vocabulary, into an existing folder."""
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / WEIGHTS)
    _write_json(folder / CONFIG, model.config.to_json())
    _write_json(folder / VOCABULARY, list(build_codec().vocabulary))


def load_world_lm(folder: Path, name: str) -> Subject:
    """Open a folder written by `save_world`; `name` is the config's name for the model.

    Raises AtlasError where a file is missing or the weights do not fit the sizes.
    """
    missing = [file for file in (WEIGHTS, CONFIG, VOCABULARY) if not (folder / file).is_file()]
    if missing:
        raise AtlasError(f"{folder} is no world model: {missing[0]} is missing. `atlas run` makes it again.")
    try:
        config = WorldLMConfig(**json.loads((folder / CONFIG).read_text(encoding="utf-8")))
        model = WorldLM(config, torch.Generator())
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (TypeError, ValueError, RuntimeError) as error:
        raise AtlasError(f"The model in {folder} is damaged or of another version: delete the folder.") from error
    return world_subject(model, WorldCodec(json.loads((folder / VOCABULARY).read_text(encoding="utf-8"))), name)


def world_subject(model: WorldLM, codec: WorldCodec, name: str) -> Subject:
    """A trained model and its codec as a subject of study."""
    freeze(model)
    return Subject(
        name=name,
        model_id=tensors_id(model.state_dict()),
        architecture=type(model).__name__,
        module=model,
        codec=codec,
        n_layers=len(model.layers),
        d_model=model.config.d_model,
        n_parameters=count_parameters(model),
        modalities=("text", "code", "image"),
        source="world",
        revision=None,
    )


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
