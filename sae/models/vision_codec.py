"""The codec of a vision-language model: its tokenizer, and its picture processor for the patches."""

from collections.abc import Sequence
from typing import Any

import jinja2
import numpy as np
import torch
from torch import Tensor

from sae.corpora.documents import IMAGE_MARK
from sae.errors import AtlasError
from sae.models.encoding import Encoded, Modality
from sae.models.transformers_codec import TransformersCodec

_TOKEN_TYPES = ("mm_token_type_ids", "token_type_ids")
"""What processors call the input that tells patches (1) from text (0)."""


class VisionCodec(TransformersCodec):
    """Text with at most one picture, whose place it marks by `<image>`, to positions.

    What the model's processor puts in the place of the mark takes the mark's span. Patches, the positions that the
    vision tower fills, have modality `image` and are not special; marks around them (Qwen-VL's beginning and end of a
    picture) are control tokens.
    """

    def __init__(self, processor: Any, vocabulary_size: int, context_size: int, patch_id: int):
        super().__init__(processor.tokenizer, vocabulary_size, context_size)
        self._processor = processor
        self._patch_id = patch_id
        self._mark = picture_mark(processor)

    def encode(self, text: str, image: np.ndarray | None = None, modality: Modality = "text") -> Encoded:
        """Encode one document of any length; `image` is uint8 [height, width, 3].

        Without a picture, marks in the text are words like others. Raises AtlasError where a picture comes with no
        mark, with several, or with a text that holds the model's own mark.
        """
        if image is None:
            return self._tokenised(text, modality, split_special_tokens=self._holds_mark(text))
        before, *after = text.split(IMAGE_MARK)
        if len(after) != 1 or self._holds_mark(before + after[0]):
            raise AtlasError(f"A document with a picture has one {IMAGE_MARK} in its text, and no other picture mark.")
        parts = self._processor(
            text=[before + self._mark + after[0]],
            images=[[image]],
            return_text_replacement_offsets=True,
            text_kwargs={"return_offsets_mapping": True, "truncation": False, "verbose": False},
        )
        (replaced,) = parts["text_replacement_offsets"][0]
        grown = replaced["new_span"][1] - replaced["new_span"][0] - (replaced["span"][1] - replaced["span"][0])
        start, stop = len(before), len(before) + len(self._mark) + grown
        ids = np.array(parts["input_ids"][0], dtype=np.int64)
        patches = ids == self._patch_id
        spans = np.array(parts["offset_mapping"][0], dtype=np.int32).reshape(-1, 2)
        inside = (spans[:, 0] >= start) & (spans[:, 1] <= stop) & (spans[:, 0] < spans[:, 1])
        spans[spans[:, 0] >= stop] -= stop - start - len(IMAGE_MARK)
        spans[inside] = (start, start + len(IMAGE_MARK))
        special = np.isin(ids, self._special) & ~patches
        spans[special] = 0
        return Encoded(
            token_ids=ids,
            tokens=[IMAGE_MARK if token == self._patch_id else self.token(token) for token in ids.tolist()],
            spans=spans,
            special=special,
            modalities=["image" if patch else "text" if modality == "image" else modality for patch in patches],
            image=image,
        )

    def picture_inputs(self, encoded: Sequence[Encoded], length: int) -> dict[str, Tensor]:
        """What the model's vision tower reads for a batch padded to `length`: pixels, sizes, which positions they fill.

        The names and shapes are those of the model's processor; empty where no document holds a picture.
        """
        images = [[document.image] for document in encoded if document.image is not None]
        if not images:
            return {}
        texts = [self._processor.image_token] * len(images)
        parts = self._processor(text=texts, images=images, images_kwargs={"return_tensors": "pt"})
        inputs = {key: value for key, value in parts.items() if isinstance(value, Tensor)}
        types = np.zeros((len(encoded), length), dtype=np.int64)
        for row, document in enumerate(encoded):
            types[row, : len(document)] = [modality == "image" for modality in document.modalities]
        return inputs | {key: torch.from_numpy(types) for key in _TOKEN_TYPES if key in parts}

    def _holds_mark(self, text: str) -> bool:
        return any(mark in text for mark in self._processor.all_special_multimodal_tokens if mark)


def picture_mark(processor: Any) -> str:
    """How a picture stands in a text that the processor reads: as its chat template writes it between two words.

    The processor's bare mark where it has no template, or one that puts pictures elsewhere.
    """
    if processor.chat_template is None:
        return processor.image_token
    content = [{"type": "text", "text": "before"}, {"type": "image"}, {"type": "text", "text": "after"}]
    try:
        shown: str = processor.apply_chat_template([{"role": "user", "content": content}], tokenize=False)
    except (jinja2.TemplateError, TypeError):
        return processor.image_token
    between = shown.partition("before")[2].partition("after")[0].strip()
    return between if processor.image_token in between else processor.image_token
