"""The codec of a transformers model: its own fast tokenizer."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from sae.errors import AtlasError
from sae.models.encoding import Encoded, Modality


class TransformersCodec:
    """Text to positions by a fast tokenizer, which alone knows where in the text each token stands."""

    def __init__(self, tokenizer: Any, vocabulary_size: int, context_size: int):
        if not getattr(tokenizer, "is_fast", False):
            raise AtlasError(f"{type(tokenizer).__name__} gives no character offsets. Convert it to a fast tokenizer.")
        self.vocabulary_size = vocabulary_size
        self.context_size = min(context_size, tokenizer.model_max_length)
        candidates = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
        self.pad_id: int = next(token_id for token_id in candidates if token_id is not None)
        self._tokenizer = tokenizer
        self._special = np.array(sorted(tokenizer.all_special_ids), dtype=np.int64)
        self._texts: dict[int, str] = {}

    def encode(self, text: str, image: np.ndarray | None = None, modality: Modality = "text") -> Encoded:
        """Encode one document of any length, with the control tokens that the model expects around it.

        Raises AtlasError for a picture, which this codec cannot read.
        """
        if image is not None:
            raise AtlasError("This model reads no pictures: take the document's picture away.")
        return self._tokenised(text, modality)

    def picture_inputs(self, encoded: Sequence[Encoded], length: int) -> dict[str, Tensor]:
        """Nothing: the model reads text alone."""
        return {}

    @property
    def special_tokens(self) -> dict[str, int]:
        """Names and ids of the control tokens."""
        return {str(self._tokenizer.convert_ids_to_tokens(i)): i for i in self._special.tolist()}

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of some ids, control tokens included."""
        return self._tokenizer.decode([int(i) for i in token_ids], clean_up_tokenization_spaces=False)

    def token(self, token_id: int) -> str:
        """The text of one id with its leading space; bytes that are no character by themselves as `<0xE6>`."""
        known = self._texts.get(token_id)
        if known is None:
            known = self._texts[token_id] = self._spell(token_id)
        return known

    def first_token(self, text: str) -> int:
        """The id with which ` text` goes on after a prompt.

        Raises AtlasError when the vocabulary cannot express it.
        """
        return self._after_a_prompt(text)[0]

    def continuation(self, text: str) -> list[int]:
        """All the ids of ` text` as it goes on after a prompt.

        Raises AtlasError when the vocabulary cannot express it.
        """
        ids = self._after_a_prompt(text)
        if self._tokenizer.unk_token_id in ids:
            raise AtlasError(f"The vocabulary cannot spell all of {text!r}: write it another way.")
        return ids

    def _after_a_prompt(self, text: str) -> list[int]:
        spaced = text if text[:1].isspace() else f" {text}"
        for candidate in (spaced, text):
            ids = self._tokenizer(candidate, add_special_tokens=False, verbose=False)["input_ids"]
            # A lone space comes first where the vocabulary has no pieces that begin with one.
            if ids and ids[0] != self._tokenizer.unk_token_id and self.token(ids[0]).strip():
                return [int(token_id) for token_id in ids]
        raise AtlasError(f"The vocabulary has no token that begins {text!r}: write it another way.")

    def _tokenised(self, text: str, modality: Modality, split_special_tokens: bool = False) -> Encoded:
        """Encode a text; `split_special_tokens` reads control tokens' names in it as ordinary words."""
        parts = self._tokenizer(
            text,
            return_offsets_mapping=True,
            truncation=False,
            verbose=False,
            split_special_tokens=split_special_tokens,
        )
        ids = np.array(parts["input_ids"], dtype=np.int64)
        special = np.isin(ids, self._special)
        spans = np.array(parts["offset_mapping"], dtype=np.int32).reshape(-1, 2)
        spans[special] = 0
        tokens = [self.token(token_id) for token_id in ids.tolist()]
        return Encoded(ids, tokens, spans, special, [modality] * len(ids))

    def _spell(self, token_id: int) -> str:
        piece = self._tokenizer.convert_ids_to_tokens(token_id) if token_id < len(self._tokenizer) else None
        if piece is None:
            return f"<{token_id}>"
        if piece.startswith("▁"):
            return piece.replace("▁", " ")
        text = self.decode([token_id])
        if "\ufffd" not in text:
            return text
        return "".join(f"<0x{_BYTES[char]:02X}>" if char in _BYTES else char for char in piece)


def _byte_alphabet() -> dict[str, int]:
    # The printable stand-ins of byte-level BPE (Radford et al. 2019): printable bytes stand for themselves, the others
    # for the characters from 256 on.
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}


_BYTES = _byte_alphabet()
