"""Where a transformers model comes from: the hub, a folder, or a GGUF file inside an installed package."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from sae.errors import AtlasError
from sae.models.packages import PACKAGE, find_package_file


@dataclass(frozen=True)
class LoadedSource:
    """A model with its tokenizer."""

    model: Any
    """transformers.PreTrainedModel."""
    tokenizer: Any
    """transformers.PreTrainedTokenizerFast."""
    revision: str | None
    """Commit of a hub id."""


def load_source(source: str, revision: str | None, dtype: torch.dtype) -> LoadedSource:
    """Load a hub id, a folder, a `.gguf` file, or `package://<package>/<file>.gguf`.

    Weights are read from safetensors or GGUF only. Raises AtlasError saying what is missing.
    """
    transformers.utils.logging.disable_progress_bar()  # Stages show their own progress.
    place = str(find_package_file(source)) if source.startswith(PACKAGE) else source
    if place.endswith(".gguf"):
        return _load_gguf(Path(place), dtype)
    if place.startswith(("/", ".", "~")) and not Path(place).expanduser().is_dir():
        raise AtlasError(f"The model's folder {place} does not exist.")
    try:
        config = transformers.AutoConfig.from_pretrained(place, revision=revision)
        tokenizer = transformers.AutoTokenizer.from_pretrained(place, revision=revision)
        # Pickled weights could run anything, so only safetensors are taken.
        model = _model_class(config).from_pretrained(
            place, revision=revision, dtype=dtype, use_safetensors=True, low_cpu_mem_usage=True
        )
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise AtlasError(f"The model {source} cannot be loaded: {reason}") from error
    return LoadedSource(model, tokenizer, getattr(config, "_commit_hash", None) or revision)


def _load_gguf(path: Path, dtype: torch.dtype) -> LoadedSource:
    if not path.is_file():
        raise AtlasError(f"The model file {path} does not exist.")
    # transformers looks for file names with a leading module path in its cache, so it gets folder and name apart.
    place = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(**place)
        quantised = transformers.AutoModelForCausalLM.from_pretrained(**place, dtype=dtype)
    except (OSError, ValueError, struct.error, NotImplementedError) as error:
        raise AtlasError(
            f"{path.name} is no GGUF file that transformers reads: {' '.join(str(error).split())[:300]}"
        ) from error
    # A model that remembers its quantisation refuses to be saved: the same weights move into one that does not.
    settings = {key: value for key, value in quantised.config.to_dict().items() if key != "quantization_config"}
    model: Any = type(quantised)(type(quantised.config)(**settings))
    model.to(dtype).load_state_dict(quantised.state_dict())
    return LoadedSource(model, tokenizer, None)


def _model_class(config: Any) -> Any:
    names = getattr(config, "architectures", None) or []
    known = next((getattr(transformers, name) for name in names if hasattr(transformers, name)), None)
    return known or transformers.AutoModelForCausalLM
