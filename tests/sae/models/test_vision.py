"""Vision-language models: a picture's patches are positions like others, and everything reads and changes them."""

from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import D_MODEL, N_LAYERS, SENTENCES
from tiny_vision_models import VISION_FAMILIES, tiny_picture, tiny_vision_subject
from torch import Tensor

from sae.corpora.documents import IMAGE_MARK
from sae.errors import AtlasError
from sae.models.encoding import Encoded
from sae.models.hookpoints import hook_module, list_hookpoints, read_outputs, replaced_output
from sae.models.subject import Subject, collate, extended, final_norm, logits, unembedding

TEXT = f"The {IMAGE_MARK} is a Bridge."


@pytest.fixture(scope="module", params=VISION_FAMILIES)
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return tiny_vision_subject(request.param, tmp_path_factory.mktemp(request.param))


def test_a_picture_becomes_positions_in_the_place_of_its_mark(subject: Subject):
    encoded = subject.codec.encode(TEXT, tiny_picture(0))

    patches = [n for n, modality in enumerate(encoded.modalities) if modality == "image"]
    assert patches == list(range(patches[0], patches[-1] + 1))
    assert len(patches) == (8 if subject.architecture.startswith("Qwen2VL") else 4)
    mark = (TEXT.index(IMAGE_MARK), TEXT.index(IMAGE_MARK) + len(IMAGE_MARK))
    for n in patches:
        assert tuple(encoded.spans[n]) == mark
        assert encoded.tokens[n] == IMAGE_MARK
        assert not encoded.special[n]
    for n in set(range(len(encoded))) - set(patches):
        start, end = encoded.spans[n]
        if not encoded.special[n] and (start, end) != mark:
            assert TEXT[start:end] == encoded.tokens[n]


def test_the_words_around_a_picture_are_read_as_without_it(subject: Subject):
    with_picture = subject.codec.encode(f"{SENTENCES[0]} {IMAGE_MARK}", tiny_picture(0))
    plain = subject.codec.encode(SENTENCES[0])

    assert with_picture.token_ids[: len(plain)].tolist() == plain.token_ids.tolist()
    assert with_picture.modalities[0] == "text"
    assert (with_picture.spans[: len(plain)] == plain.spans).all()


def test_a_mark_without_a_picture_is_a_word(subject: Subject):
    marks = [IMAGE_MARK, "<|image_pad|>", "<start_of_image>", "<image_soft_token>"]
    for mark in marks:
        encoded = subject.codec.encode(f"Kobe {mark}")

        assert set(encoded.modalities) == {"text"}
        logits(subject, collate(subject, [encoded]))


@pytest.mark.parametrize("text", ["no mark", f"{IMAGE_MARK} and {IMAGE_MARK}"])
def test_a_picture_has_one_mark(subject: Subject, text: str):
    with pytest.raises(AtlasError, match="has one <image>"):
        subject.codec.encode(text, tiny_picture(0))


def test_the_model_says_what_it_reads(subject: Subject):
    assert subject.modalities == ("text", "code", "image")
    assert subject.d_model == D_MODEL
    assert subject.n_layers == N_LAYERS
    known = list_hookpoints(subject)
    for n in range(N_LAYERS):
        for hookpoint in (f"layers.{n}", f"layers.{n}.attn", f"layers.{n}.mlp"):
            assert known[hookpoint] == (D_MODEL,)


def test_blocks_are_those_of_the_text_model(subject: Subject):
    batch = collate(subject, _mixed(subject))

    read = read_outputs(subject, batch, ["layers.0", "layers.1"])

    module: Any = subject.module
    states = module(**batch, output_hidden_states=True).hidden_states
    real = batch["attention_mask"].bool()
    torch.testing.assert_close(read["layers.0"][real], states[1][real])
    torch.testing.assert_close(read["layers.1"][real], states[2][real])


def test_a_document_reads_the_same_in_any_batch(subject: Subject):
    documents = _mixed(subject)

    together = read_outputs(subject, collate(subject, documents), ["layers.1"])["layers.1"]

    for row, document in enumerate(documents):
        alone = read_outputs(subject, collate(subject, [document]), ["layers.1"])["layers.1"][0]
        torch.testing.assert_close(together[row, : len(document)], alone, atol=1e-5, rtol=1e-4)


def test_another_picture_changes_its_patches_and_what_follows(subject: Subject):
    first, second = (_read(subject, subject.codec.encode(TEXT, tiny_picture(shade))) for shade in (0, 1))
    encoded = subject.codec.encode(TEXT, tiny_picture(0))

    changed = (first - second).abs().amax(dim=1) > 1e-6

    patches = np.flatnonzero([modality == "image" for modality in encoded.modalities])
    assert not changed[: patches[0]].any()
    assert changed[patches].all()
    assert changed[patches[-1] + 1 :].any()


def test_a_replaced_output_reaches_the_logits(subject: Subject):
    batch = collate(subject, _mixed(subject))
    before = logits(subject, batch)

    with replaced_output(hook_module(subject, "layers.1"), lambda x: x + 0):
        same = logits(subject, batch)
    with replaced_output(hook_module(subject, "layers.1"), torch.zeros_like):
        zeroed = logits(subject, batch)

    torch.testing.assert_close(same, before)
    assert not torch.allclose(zeroed, before)


def test_the_final_norm_is_the_text_models(subject: Subject):
    batch = collate(subject, _mixed(subject))
    last = read_outputs(subject, batch, [f"layers.{N_LAYERS - 1}"])[f"layers.{N_LAYERS - 1}"]
    module: Any = subject.module

    scores = module.get_output_embeddings()(final_norm(subject.module)(last))

    torch.testing.assert_close(scores, logits(subject, batch), atol=1e-5, rtol=1e-4)
    assert unembedding(subject).shape == (subject.codec.vocabulary_size, D_MODEL)


def test_a_completion_goes_on_after_a_picture(subject: Subject):
    encoded = subject.codec.encode(f"{TEXT} Golden", tiny_picture(0))
    shorter = subject.codec.encode(TEXT, tiny_picture(0))
    batch = collate(subject, [shorter])
    for token in encoded.token_ids[len(shorter) :].tolist():
        batch = extended(batch, torch.tensor([token]))

    torch.testing.assert_close(logits(subject, batch), logits(subject, collate(subject, [encoded])))


def _mixed(subject: Subject) -> list[Encoded]:
    return [
        subject.codec.encode("The Golden Gate"),
        subject.codec.encode(TEXT, tiny_picture(0)),
        subject.codec.encode(IMAGE_MARK, tiny_picture(1, 24, 16)),
    ]


def _read(subject: Subject, encoded: Encoded) -> Tensor:
    return read_outputs(subject, collate(subject, [encoded]), ["layers.2"])["layers.2"][0]
