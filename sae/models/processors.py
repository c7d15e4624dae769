"""Processors of vision-language models: tokenizer and picture processor together, loaded and saved without videos."""

import json
from pathlib import Path
from typing import Any

import transformers

from sae.errors import AtlasError

_SETTINGS = "processor_config.json"


def reads_pictures(config: Any) -> bool:
    """Whether a transformers config is a vision-language model's."""
    return getattr(config, "vision_config", None) is not None and config.get_text_config() is not config


def patch_id(config: Any) -> int:
    """The token id in whose place the vision tower's output goes. Raises AtlasError where the config names none."""
    for name in ("image_token_id", "image_token_index"):
        if (found := getattr(config, name, None)) is not None:
            return found
    raise AtlasError(f"The config of a {config.model_type!r} model names no picture token, so pictures have no place.")


def load_processor(place: str, revision: str | None, config: Any, tokenizer: Any) -> Any:
    """The processor of a hub id or a folder.

    Its video processor, which would need torchvision, is left out: no corpus here holds videos.
    Raises AtlasError where the model's type has no processor, OSError where its files are missing.
    """
    # Imported here: what it brings along takes seconds, and only models that read pictures have a processor.
    from transformers.models.auto.processing_auto import (
        PROCESSOR_MAPPING_NAMES,  # pyright: ignore[reportPrivateImportUsage]
    )

    name = PROCESSOR_MAPPING_NAMES.get(config.model_type)
    known: Any = getattr(transformers, name) if name else None
    if known is None:
        raise AtlasError(f"transformers has no processor for models of type {config.model_type!r}.")
    settings, _ = known.get_processor_dict(place, revision=revision)
    pictures = transformers.AutoImageProcessor.from_pretrained(place, revision=revision)
    parts = {"image_processor": pictures, "tokenizer": tokenizer}
    # The name stays, so that what is saved names the class that transformers knows.
    without_videos: Any = type(known.__name__, (_WithoutVideos, known), {})
    settings = {key: value for key, value in settings.items() if key not in known.get_attributes()}
    settings.setdefault("chat_template", tokenizer.chat_template)
    return without_videos.from_args_and_dict([parts.get(part) for part in known.get_attributes()], settings)


def save_processor(processor: Any, folder: Path) -> None:
    """Write what `load_processor` reads into a folder that holds the model."""
    processor.tokenizer.save_pretrained(folder)
    processor.image_processor.save_pretrained(folder)
    parts = (
        *processor.get_attributes(),
        "auto_map",
        "chat_template",
        "image_processor",
        "video_processor",
        "feature_extractor",
    )
    settings = {key: value for key, value in processor.to_dict().items() if key not in parts}
    if processor.chat_template is not None:
        (folder / "chat_template.jinja").write_text(processor.chat_template, encoding="utf-8")
    (folder / _SETTINGS).write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")


class _WithoutVideos:
    """A processor one of whose parts may be absent."""

    def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
        known: Any = super()
        return type(None) if argument is None else known.check_argument_for_proper_class(argument_name, argument)
