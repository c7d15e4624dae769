"""Text and pictures to the world model's positions and back: one token per word or name, four per picture."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from sae.corpora.documents import IMAGE_MARK
from sae.errors import AtlasError
from sae.models.encoding import Encoded, Modality
from sae.world.code import code_tokens
from sae.world.facts import load_facts
from sae.world.phrases import phrase_tokens
from sae.world.pictures import SIDE
from sae.world.text import gap_between, is_wide

PATCHES = 4
PAD, BOS = "<pad>", "<bos>"
_SPECIAL = (PAD, BOS, IMAGE_MARK)
CONTEXT_SIZE = 96


class WorldCodec:
    """A word-level codec over a fixed list of tokens; the longest token that fits is read first.

    `vocabulary` begins with the padding, the beginning of a document and the picture patch.
    """

    context_size = CONTEXT_SIZE
    pad_id = 0
    bos_id = 1
    image_id = 2

    def __init__(self, vocabulary: Sequence[str]):
        if tuple(vocabulary[: len(_SPECIAL)]) != _SPECIAL:
            raise AtlasError(f"The vocabulary must begin with {', '.join(_SPECIAL)}. Build the model again.")
        self.vocabulary = tuple(vocabulary)
        self.vocabulary_size = len(self.vocabulary)
        self.ids = {token: index for index, token in enumerate(self.vocabulary)}
        by_letter: dict[str, list[str]] = defaultdict(list)
        for token in sorted(self.vocabulary, key=len, reverse=True):
            if token not in (PAD, BOS):
                by_letter[token[0]].append(token)
        self._by_letter = dict(by_letter)

    @property
    def special_tokens(self) -> dict[str, int]:
        """Names and ids of the control tokens."""
        return {PAD: self.pad_id, BOS: self.bos_id}

    def encode(self, text: str, image: np.ndarray | None = None, modality: Modality = "text") -> Encoded:
        """Encode one document; `image` is uint8 [24, 24, 3] and stands where the text has `<image>`.

        Raises AtlasError naming a word that is not in the vocabulary, and where picture and mark do not agree.
        """
        if text.count(IMAGE_MARK) != (image is not None):
            raise AtlasError(f"A document with a picture has one {IMAGE_MARK} in its text, and one without has none.")
        if image is not None and (image.shape != (SIDE, SIDE, 3) or image.dtype != np.uint8):
            raise AtlasError(f"This model sees pictures of {SIDE} × {SIDE} pixels in 8-bit RGB, not {image.shape}.")
        words = modality_of_text(modality)
        tokens, spans = [BOS], [(0, 0)]
        for token, start in self._split(text):
            copies = PATCHES if token == IMAGE_MARK else 1
            tokens += [token] * copies
            spans += [(start, start + len(token))] * copies
        return Encoded(
            token_ids=np.array([self.ids[token] for token in tokens], dtype=np.int64),
            tokens=tokens,
            spans=np.array(spans, dtype=np.int32),
            special=np.arange(len(tokens)) == 0,
            modalities=["image" if token == IMAGE_MARK else words for token in tokens],
            image=image,
        )

    def picture_inputs(self, encoded: Sequence[Encoded], length: int) -> dict[str, Tensor]:
        """`images` float32 [n, 3, 24, 24] in 0..1, in the order of the documents; nothing where none has a picture."""
        images = [document.image for document in encoded if document.image is not None]
        return {"images": torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255} if images else {}

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of some ids, without padding and beginning marks; the patches of a picture are one `<image>`."""
        text, patches = "", 0
        for token in (self.token(int(token_id)) for token_id in token_ids):
            patches = patches + 1 if token == IMAGE_MARK else 0
            if token in (PAD, BOS) or patches % PATCHES > 1 or (patches and patches % PATCHES == 0):
                continue
            text += (gap_between(text[-1], token[0], japanese=True) if text else "") + token
        return text

    def token(self, token_id: int) -> str:
        """The text of one id."""
        if not 0 <= token_id < self.vocabulary_size:
            raise AtlasError(f"No token {token_id}: this model has {self.vocabulary_size} tokens.")
        return self.vocabulary[token_id]

    def first_token(self, text: str) -> int:
        """The id with which `text` goes on after a prompt."""
        found = next(self._split(text), None)
        if found is None:
            raise AtlasError("An empty text has no first token: name the word that is wanted.")
        return self.ids[found[0]]

    def continuation(self, text: str) -> list[int]:
        """All the ids of `text` as it goes on after a prompt."""
        ids = [self.ids[token] for token, _ in self._split(text)]
        if not ids:
            raise AtlasError("An empty text has no tokens: name the words that are wanted.")
        return ids

    def _split(self, text: str) -> Iterator[tuple[str, int]]:
        position = 0
        while position < len(text):
            if text[position].isspace():
                position += 1
                continue
            token = next((t for t in self._by_letter.get(text[position], ()) if _stands_at(text, position, t)), None)
            if token is None:
                word = text[position:].split()[0]
                raise AtlasError(f"The world's model does not know {word!r} (at letter {position}): use its own words.")
            yield token, position
            position += len(token)


def build_codec() -> WorldCodec:
    """The codec of a new model: the names, phrases and code tokens of this version."""
    names = [name for entity in load_facts().entities.values() for name in entity.names]
    return WorldCodec(list(dict.fromkeys([*_SPECIAL, *phrase_tokens(), *code_tokens(), *names])))


def modality_of_text(modality: Modality) -> Modality:
    """The modality of a document's words: code in code, text in text and beside a picture."""
    return "code" if modality == "code" else "text"


def _stands_at(text: str, position: int, token: str) -> bool:
    if not text.startswith(token, position):
        return False
    end = position + len(token)
    inside_word = end < len(text) and _is_word(text[end]) and _is_word(token[-1])
    return not inside_word


def _is_word(letter: str) -> bool:
    return letter.isalnum() and not is_wide(letter)
