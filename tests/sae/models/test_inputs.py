import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import tiny_documents

from sae.corpora.documents import Document, documents_table
from sae.errors import AtlasError
from sae.models.encoding import Encoded, Modality
from sae.models.inputs import cut_windows, encode_documents, length_buckets
from sae.models.pictures import decode_picture, encode_picture, to_png
from sae.models.subject import Subject


def _encoded(n: int, head: int = 0, tail: int = 0, picture: range = range(0)) -> Encoded:
    special = np.zeros(n, dtype=bool)
    special[:head] = True
    special[n - tail :] = True
    modalities: list[Modality] = ["image" if i in picture else "text" for i in range(n)]
    image = np.zeros((2, 2, 3), np.uint8) if picture else None
    spans = np.stack([np.arange(n), np.arange(n) + 1], axis=1).astype(np.int32)
    return Encoded(np.arange(n), [str(i) for i in range(n)], spans, special, modalities, image)


@given(st.integers(1, 60), st.integers(0, 2), st.integers(0, 2), st.integers(5, 20))
def test_windows_hold_every_position_once(n: int, head: int, tail: int, size: int):
    encoded = _encoded(n + head + tail, head, tail)

    windows = cut_windows(encoded, size)

    kept = [position for w in windows for position in w.positions[~w.repeated].tolist()]
    assert kept == list(range(len(encoded)))
    for window in windows:
        assert len(window.encoded) <= size
        assert window.encoded.token_ids.tolist() == window.positions.tolist()
        assert window.encoded.special.tolist() == encoded.special[window.positions].tolist()
        assert window.encoded.special[:head].all()


def test_a_picture_stays_in_one_window():
    windows = cut_windows(_encoded(12, head=1, picture=range(4, 8)), 7)

    assert [w.positions.tolist() for w in windows] == [[0, 1, 2, 3], [0, 4, 5, 6, 7, 8, 9], [0, 10, 11]]
    assert [w.encoded.image is not None for w in windows] == [False, True, False]


def test_windows_without_room_are_refused():
    with pytest.raises(AtlasError, match="no room"):
        cut_windows(_encoded(9, 1, 1), 2)
    with pytest.raises(AtlasError, match="more patches"):
        cut_windows(_encoded(9, picture=range(1, 8)), 4)


@given(st.lists(st.integers(1, 40), max_size=40), st.integers(40, 200))
def test_batches_hold_each_sequence_once_within_bounds(lengths: list[int], batch_tokens: int):
    batches = length_buckets(lengths, batch_tokens)

    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) * max(lengths[index] for index in batch) <= batch_tokens
    assert all(max(lengths[i] for i in b) <= min(lengths[i] for i in a) for a, b in itertools.pairwise(batches))


@given(st.lists(st.integers(1, 200), min_size=1, max_size=80), st.integers(200, 4096))
def test_less_than_a_twentieth_of_all_positions_is_padding(lengths: list[int], batch_tokens: int):
    batches = length_buckets(lengths, batch_tokens)

    padded = sum(len(batch) * max(lengths[index] for index in batch) for batch in batches)
    assert 1 - sum(lengths) / padded < 0.05


def test_sequences_of_one_length_fill_their_batches():
    assert [len(batch) for batch in length_buckets([8] * 25, 80)] == [10, 10, 5]
    assert length_buckets([], 80) == []


def test_documents_with_pictures_are_left_to_models_that_see(llama: Subject):
    picture = encode_picture(np.zeros((2, 2, 3), np.uint8))
    documents = documents_table("c", "c-00000", [Document("The"), Document("<image>", modality="image", image=picture)])

    encoded = list(encode_documents(llama, documents))

    assert [document_id for document_id, _ in encoded] == [documents["document_id"][0]]


def test_a_documents_modality_reaches_its_positions(llama: Subject):
    modalities = [set(encoded.modalities) for _, encoded in encode_documents(llama, tiny_documents())]

    assert modalities == [{"text"}, {"text"}, {"code"}, {"text"}]


def test_pictures_survive_and_corrupt_ones_are_named():
    pixels = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    png = encode_picture(pixels)

    assert (decode_picture(png, "x") == pixels).all()
    assert to_png(png, "x") == png
    for data in (b"", b"GIF89a", png[: len(png) // 2], b"\xff\xd8\xff\xe0 no jpeg"):
        with pytest.raises(AtlasError, match=r"photo\.png: the picture is corrupt"):
            decode_picture(data, "photo.png")
