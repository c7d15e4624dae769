"""Tiny, randomly initialised vision-language models of three families, with their own picture processors."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
import transformers
from tiny_models import CONTEXT, D_MODEL, N_LAYERS, SENTENCES, VOCABULARY
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from tokenizers import decoders as token_decoders

from sae.corpora.documents import Document, documents_table
from sae.models.loading import load_subject, materialise_transformers
from sae.models.pictures import encode_picture
from sae.models.subject import Subject

VISION_FAMILIES = ("llava", "qwen2_vl", "gemma3")
_SIDE, _PATCH = 16, 8
_MARKS = {
    "llava": ["<image>"],
    "qwen2_vl": ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"],
    "gemma3": ["<image_soft_token>", "<start_of_image>", "<end_of_image>"],
}
_TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}{% if part['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}"
)


def tiny_picture(shade: int, height: int = 20, width: int = 30) -> np.ndarray:
    """A picture that is not square, different for each shade."""
    return np.random.default_rng(shade).integers(0, 256, (height, width, 3), dtype=np.uint8)


def tiny_vision_subject(family: str, folder: Path) -> Subject:
    """A subject read back from `folder`, as the pipeline reads it."""
    saved, opened = folder / "source", folder / "model"
    _model(family).save_pretrained(saved)
    _tokenizer(family).save_pretrained(saved)
    _picture_processor(family).save_pretrained(saved)
    (saved / "processor_config.json").write_text(_SETTINGS[family])
    materialise_transformers(str(saved), None, "float32", opened)
    return load_subject(opened, f"tiny-{family}", "cpu")


def tiny_picture_documents() -> pl.DataFrame:
    """Documents with pictures of several sizes among others without."""
    pictures = [encode_picture(tiny_picture(0)), encode_picture(tiny_picture(1, 24, 16))]
    return documents_table(
        "tiny",
        "tiny-00000",
        [
            Document(SENTENCES[0], "en"),
            Document("The <image> is a Bridge.", "en", "image", pictures[0]),
            Document("<image>", "en", "image", pictures[1]),
            Document("Kobe <image>", "en", "text"),  # A mark without a picture is a word.
        ],
    )


def _tokenizer(family: str) -> Any:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    marks = _MARKS[family]
    special = ["<s>", *marks]
    tokenizer.train_from_iterator(
        SENTENCES, trainers.BpeTrainer(vocab_size=320, special_tokens=special, initial_alphabet=alphabet)
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer.decoder = token_decoders.ByteLevel()
    names: dict[str, Any] = {"bos_token": "<s>", "eos_token": "<s>", "additional_special_tokens": marks}
    if family == "gemma3":
        names["extra_special_tokens"] = dict(zip(("image_token", "boi_token", "eoi_token"), marks, strict=True))
        del names["additional_special_tokens"]
    if family == "qwen2_vl":
        names["chat_template"] = _TEMPLATE
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def _picture_processor(family: str) -> Any:
    if family == "qwen2_vl":
        return transformers.Qwen2VLImageProcessorPil(patch_size=4, merge_size=2, min_pixels=64, max_pixels=1024)
    size = {"height": _SIDE, "width": _SIDE}
    if family == "gemma3":
        return transformers.Gemma3ImageProcessorPil(size=size)
    return transformers.CLIPImageProcessorPil(size={"shortest_edge": _SIDE}, crop_size=size)


_SETTINGS = {
    "llava": '{"patch_size": 8, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}',
    "qwen2_vl": "{}",
    "gemma3": '{"image_seq_length": 4}',
}
_TEXT: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": D_MODEL,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 32,
    "num_hidden_layers": N_LAYERS,
    "max_position_embeddings": CONTEXT,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": None,
}
# As many blocks as the text model: a search that takes the first stack of that length finds the wrong one.
_VISION: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "num_hidden_layers": N_LAYERS,
    "image_size": _SIDE,
    "patch_size": _PATCH,
}
_QWEN_VISION: dict[str, Any] = {
    "depth": N_LAYERS,
    "embed_dim": 16,
    "hidden_size": D_MODEL,
    "num_heads": 2,
    "mlp_ratio": 2,
    "patch_size": 4,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
}
_ROPE = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}


def _model(family: str) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = _build(family)
        for parameter in model.parameters():
            if parameter.ndim > 1 and not parameter.any():  # Gemma 3 starts with a projector that shows nothing.
                parameter.data.normal_(std=0.1)
        return model.eval()


def _build(family: str) -> Any:
    patch: dict[str, Any] = {"image_token_id": 1}
    if family == "llava":
        config: Any = transformers.LlavaConfig(
            vision_config=transformers.CLIPVisionConfig(**_VISION),
            text_config=transformers.LlamaConfig(**_TEXT),
            image_seq_length=4,
            **patch,
        )
        return transformers.LlavaForConditionalGeneration(config)
    if family == "qwen2_vl":
        config = transformers.Qwen2VLConfig(
            text_config=_TEXT | {"rope_parameters": _ROPE},
            vision_config=_QWEN_VISION,
            **patch,
            video_token_id=2,
            vision_start_token_id=3,
            vision_end_token_id=4,
        )
        return transformers.Qwen2VLForConditionalGeneration(config)
    config = transformers.Gemma3Config(
        text_config=transformers.Gemma3TextConfig(**_TEXT, head_dim=8),
        vision_config=transformers.SiglipVisionConfig(**_VISION),
        mm_tokens_per_image=4,
        **patch,
        boi_token_index=2,
        eoi_token_index=3,
    )
    return transformers.Gemma3ForConditionalGeneration(config)
