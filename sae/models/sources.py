"""Where a transformers model comes from: the hub, a folder, or a GGUF file inside an installed package."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from sae.errors import AtlasError
from sae.models.packages import PACKAGE, find_package_file
from sae.models.processors import load_processor, reads_pictures


@dataclass(frozen=True)
class LoadedSource:
    """A model with its tokenizer."""

    model: Any
    """transformers.PreTrainedModel."""
    tokenizer: Any
    """transformers.PreTrainedTokenizerFast."""
    revision: str | None
    """Commit of a hub id."""
    processor: Any | None = None
    """transformers.ProcessorMixin of a vision-language model."""


def load_source(source: str, revision: str | None, dtype: torch.dtype, attention: str = "auto") -> LoadedSource:
    """Load a hub id, a folder, a `.gguf` file, or either of these in a package, `package://<package>/<path>`.

    `attention` is the kernel: `auto` (transformers' choice), `eager`, `sdpa` or `flash_attention_2`. Weights are read
    from safetensors or GGUF only, and no code that comes with a model is run. Raises AtlasError saying what is missing.
    """
    transformers.utils.logging.disable_progress_bar()  # Stages show their own progress.
    place = str(find_package_file(source)) if source.startswith(PACKAGE) else source
    kernel = None if attention == "auto" else attention
    if place.endswith(".gguf"):
        return _load_gguf(Path(place), dtype, kernel)
    if place.startswith(("/", ".", "~")) and not Path(place).expanduser().is_dir():
        raise AtlasError(f"The model's folder {place} does not exist.")
    where: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
    try:
        config = transformers.AutoConfig.from_pretrained(place, **where)
        tokenizer = transformers.AutoTokenizer.from_pretrained(place, **where)
        processor = load_processor(place, revision, config, tokenizer) if reads_pictures(config) else None
        # Pickled weights could run anything, so only safetensors are taken.
        model = _model_class(config).from_pretrained(
            place,
            revision=revision,
            dtype=dtype,
            use_safetensors=True,
            low_cpu_mem_usage=True,
            attn_implementation=kernel,
        )
    except (OSError, ValueError, ImportError) as error:
        raise AtlasError(f"The model {source} cannot be loaded: {_reason(error)}") from error
    return LoadedSource(model, tokenizer, getattr(config, "_commit_hash", None) or revision, processor)


def _load_gguf(path: Path, dtype: torch.dtype, kernel: str | None) -> LoadedSource:
    if not path.is_file():
        raise AtlasError(f"The model file {path} does not exist.")
    # transformers looks for file names with a leading module path in its cache, so it gets folder and name apart.
    place = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(**place)
        quantised = transformers.AutoModelForCausalLM.from_pretrained(**place, dtype=dtype)
    except (OSError, ValueError, struct.error, NotImplementedError) as error:
        raise AtlasError(f"{path.name} is no GGUF file that transformers reads: {_reason(error)}") from error
    # A model that remembers its quantisation refuses to be saved: the same weights move into one that does not.
    settings = {key: value for key, value in quantised.config.to_dict().items() if key != "quantization_config"}
    model: Any = type(quantised)._from_config(type(quantised.config)(**settings), attn_implementation=kernel)
    model.to(dtype).load_state_dict(quantised.state_dict())
    return LoadedSource(model, tokenizer, None)


def _model_class(config: Any) -> Any:
    """The class that the config names; of an encoder-decoder its encoder, which alone reads a document as it stands.

    Raises AtlasError for an encoder-decoder whose encoder transformers does not offer by itself.
    """
    if getattr(config, "is_encoder_decoder", False):
        if type(config) not in transformers.MODEL_FOR_TEXT_ENCODING_MAPPING:
            raise AtlasError(f"transformers has no encoder by itself for models of type {config.model_type!r}.")
        return transformers.MODEL_FOR_TEXT_ENCODING_MAPPING[type(config)]
    known = (getattr(transformers, name, None) for name in getattr(config, "architectures", None) or [])
    models = (kind for kind in known if isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel))
    return next(models, transformers.AutoModelForCausalLM)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
