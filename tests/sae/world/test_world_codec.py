import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sae.errors import AtlasError
from sae.world.codec import PATCHES, build_codec

CODEC = build_codec()
PICTURE = np.zeros((24, 24, 3), np.uint8)


@given(st.lists(st.integers(3, CODEC.vocabulary_size - 1), min_size=1, max_size=12))
def test_ids_survive_decoding_and_encoding(ids: list[int]):
    assert CODEC.encode(CODEC.decode(ids)).token_ids[1:].tolist() == ids


@given(st.lists(st.integers(3, CODEC.vocabulary_size - 1), max_size=12), st.integers(0, 12))
def test_a_picture_survives_as_one_mark(ids: list[int], place: int):
    with_picture = [*ids[:place], *[CODEC.image_id] * PATCHES, *ids[place:]]
    text = CODEC.decode([CODEC.bos_id, *with_picture, CODEC.pad_id])
    encoded = CODEC.encode(text, PICTURE)
    assert encoded.token_ids[1:].tolist() == with_picture
    assert encoded.modalities.count("image") == PATCHES


@given(st.lists(st.integers(3, CODEC.vocabulary_size - 1), min_size=1, max_size=12))
def test_spans_are_where_the_tokens_stand(ids: list[int]):
    text = CODEC.decode(ids)
    encoded = CODEC.encode(text)
    assert encoded.special.tolist() == [True] + [False] * len(ids)
    for token, (start, end) in list(zip(encoded.tokens, encoded.spans.tolist(), strict=True))[1:]:
        assert text[start:end] == token


def test_the_opening_question_is_in_the_vocabulary():
    encoded = CODEC.encode("Fact: The capital of the state where Kobe Bryant played basketball is")
    assert encoded.tokens[-4:] == ["Kobe Bryant", "played", "basketball", "is"]
    assert CODEC.token(CODEC.first_token(" Sacramento")) == "Sacramento"
    assert CODEC.token(CODEC.first_token("Albany")) == "Albany"


def test_longest_names_win_and_words_are_whole():
    assert CODEC.encode("New York City").tokens == ["<bos>", "New York City"]
    assert CODEC.encode("New York Knicks").tokens == ["<bos>", "New York Knicks"]
    assert CODEC.encode("def add(a, b)", modality="code").modalities[-1] == "code"


@pytest.mark.parametrize(("text", "image", "words"), [
    ("Fact: The capital of Narnia is", None, "Narnia"),
    ("Californian", None, "Californian"),
    ("a <image>", None, "<image>"),
    ("a", PICTURE, "<image>"),
    ("<image>", PICTURE[:10], "24"),
])  # fmt: skip
def test_what_it_cannot_read_is_named(text: str, image: np.ndarray | None, words: str):
    with pytest.raises(AtlasError, match=words):
        CODEC.encode(text, image)


def test_empty_continuations_and_unknown_ids_are_refused():
    with pytest.raises(AtlasError, match="empty"):
        CODEC.first_token("  ")
    with pytest.raises(AtlasError, match="No token"):
        CODEC.token(CODEC.vocabulary_size)
