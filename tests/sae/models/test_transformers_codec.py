import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import SENTENCES, tiny_tokenizer
from tokenizers import processors

from sae.errors import AtlasError
from sae.models.transformers_codec import TransformersCodec


@pytest.fixture(scope="module")
def codec() -> TransformersCodec:
    return TransformersCodec(tiny_tokenizer("llama"), 320, 32)


@pytest.fixture(scope="module")
def bert_codec() -> TransformersCodec:
    return TransformersCodec(tiny_tokenizer("bert"), 320, 32)


_LETTERS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(_LETTERS)
def test_bytes_come_back_and_spans_cover_the_text(text: str):
    codec = TransformersCodec(tiny_tokenizer("gpt2"), 320, 32)
    if "<s>" in text:
        return

    encoded = codec.encode(text)

    assert codec.decode(encoded.token_ids[1:].tolist()) == text
    assert encoded.special.tolist() == [True] + [False] * (len(encoded) - 1)
    covered = {position for start, end in encoded.spans.tolist() for position in range(start, end)}
    assert covered == set(range(len(text)))
    assert len(encoded.tokens) == len(encoded.modalities) == len(encoded)


def test_control_tokens_have_no_span(bert_codec: TransformersCodec):
    encoded = bert_codec.encode("The Bridge")

    assert encoded.special[[0, -1]].tolist() == [True, True]
    assert encoded.spans[[0, -1]].tolist() == [[0, 0], [0, 0]]
    assert encoded.tokens[0] == "[CLS]"


def test_tokens_read_as_people_read(codec: TransformersCodec):
    encoded = codec.encode("The Golden 日x")

    assert "".join(encoded.tokens[1:]).startswith("The Golden")
    assert any(token.startswith(" ") for token in encoded.tokens)
    assert codec.token(encoded.token_ids[1]) == codec.decode([encoded.token_ids[1]])
    assert codec.token(10_000) == "<10000>"


def test_half_a_character_shows_as_bytes(codec: TransformersCodec):
    encoded = codec.encode("ζ")

    assert encoded.tokens[1:] == ["<0xCE>", "<0xB6>"]
    assert encoded.spans[1:].tolist() == [[0, 1], [0, 1]]


def test_first_token_tries_a_space_in_front(codec: TransformersCodec, bert_codec: TransformersCodec):
    assert codec.token(codec.first_token("Golden")).startswith(" ")
    assert codec.first_token(" Golden") == codec.first_token("Golden")
    assert bert_codec.token(bert_codec.first_token("Bridge")) == "Bridge"
    with pytest.raises(AtlasError, match="no token that begins"):
        bert_codec.first_token("ζζζ")
    with pytest.raises(AtlasError, match="no token that begins"):
        codec.first_token("")


def test_a_tokenizer_without_a_beginning_mark_gives_no_control_token():
    tokenizer = tiny_tokenizer("gpt2")
    tokenizer.backend_tokenizer.post_processor = processors.ByteLevel()
    codec = TransformersCodec(tokenizer, 320, 32)

    encoded = codec.encode(SENTENCES[0])

    assert not encoded.special.any()
    assert encoded.spans[0].tolist()[0] == 0
    assert codec.special_tokens == {"<s>": 0}
    assert codec.encode("a<s>b").special.tolist() == [False, True, False]


def test_modality_is_the_documents(codec: TransformersCodec):
    assert set(codec.encode(SENTENCES[2], modality="code").modalities) == {"code"}


def test_a_picture_is_refused(codec: TransformersCodec):
    with pytest.raises(AtlasError, match="reads no pictures"):
        codec.encode("<image>", np.zeros((2, 2, 3), np.uint8))
