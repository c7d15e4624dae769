"""What a model reads: the contract between any tokenizer (or picture processor) and the rest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Modality = Literal["text", "code", "image"]


@dataclass(frozen=True)
class Encoded:
    """One document as a model reads it: n positions, special tokens and picture patches among them."""

    token_ids: np.ndarray
    """int64 [n]."""
    tokens: list[str]
    """The text of each position, as people should see it; `<image>` for a patch."""
    spans: np.ndarray
    """int32 [n, 2]: start and end of each position in the document's text, in characters; (0, 0) for special tokens."""
    special: np.ndarray
    """bool [n]: beginning-of-sequence and other control tokens."""
    modalities: list[Modality]
    """Modality of each position."""
    image: np.ndarray | None = None
    """uint8 [height, width, 3], where the document holds a picture."""

    def __len__(self) -> int:
        return len(self.token_ids)


class Codec(Protocol):
    """Text (and a picture) to positions and back."""

    vocabulary_size: int
    context_size: int
    pad_id: int

    @property
    def special_tokens(self) -> dict[str, int]:
        """Names and ids of the control tokens."""
        ...

    def encode(self, text: str, image: np.ndarray | None = None, modality: Modality = "text") -> Encoded:
        """Encode one document of any length; the text marks a picture's place by `<image>`."""
        ...

    def picture_inputs(self, encoded: Sequence[Encoded], length: int) -> "dict[str, Tensor]":
        """What the model reads beside the ids, [b, length] once padded, of documents with pictures."""
        ...

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of some ids."""
        ...

    def token(self, token_id: int) -> str:
        """The text of one id, as people should see it."""
        ...

    def first_token(self, text: str) -> int:
        """The id with which `text` goes on after a prompt (a name may have several: the first counts).

        Raises AtlasError when the vocabulary cannot express it.
        """
        ...

    def continuation(self, text: str) -> list[int]:
        """All the ids of `text` as it goes on after a prompt, one or more.

        Raises AtlasError when the vocabulary cannot express it.
        """
        ...
