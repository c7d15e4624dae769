from pathlib import Path

import numpy as np
import pytest
import torch

from sae.errors import AtlasError
from sae.identity import tensors_id
from sae.models.hookpoints import read_outputs
from sae.models.subject import collate, logits, unembedding
from sae.threads import one_thread
from sae.world.codec import build_codec
from sae.world.documents import draw_document
from sae.world.loading import load_world_lm, save_world, world_subject
from sae.world.model import WorldLM, WorldLMConfig
from sae.world.split import branch_rng, make_world
from sae.world.text import render
from sae.world.training import ROW, make_batch, train_world_lm

CODEC = build_codec()
PICTURE = np.full((24, 24, 3), 128, np.uint8)


@pytest.fixture(scope="module")
def model() -> WorldLM:
    return WorldLM(WorldLMConfig(CODEC.vocabulary_size), torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def trained() -> WorldLM:
    return train_world_lm(seed=1, steps=3)


def test_size_and_hookpoints(model: WorldLM):
    subject = world_subject(model, CODEC, "world-lm")
    assert 0.8e6 < subject.n_parameters < 1.1e6
    inputs = collate(subject, [CODEC.encode("Fact: The capital of California is")])
    outputs = read_outputs(subject, inputs, ["layers.1", "layers.3", "layers.6"])
    assert outputs["layers.3"].shape == (1, inputs["input_ids"].shape[1], 128)
    assert not torch.equal(outputs["layers.1"], outputs["layers.3"])
    assert unembedding(subject).shape == (CODEC.vocabulary_size, 128)


def test_padding_and_later_tokens_change_nothing_before(model: WorldLM):
    subject = world_subject(model, CODEC, "world-lm")
    short, long = CODEC.encode("Fact: The capital of"), CODEC.encode("Fact: The capital of California is Sacramento.")
    alone, together = logits(subject, collate(subject, [short])), logits(subject, collate(subject, [short, long]))
    torch.testing.assert_close(alone[0], together[0, : len(short)], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(together[0, : len(short)], together[1, : len(short)], atol=1e-4, rtol=1e-4)


def test_pictures_reach_their_own_row(model: WorldLM):
    subject = world_subject(model, CODEC, "world-lm")
    rows = [CODEC.encode("<image>", picture) for picture in (PICTURE, PICTURE // 2)]
    both = logits(subject, collate(subject, rows))
    second = logits(subject, collate(subject, rows[1:]))
    torch.testing.assert_close(both[1], second[0], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(both[0], both[1], atol=1e-4)


def test_missing_pictures_are_refused(model: WorldLM):
    with pytest.raises(AtlasError, match="4 picture patches, the pictures 0"):
        model(torch.tensor([[1, 2, 2, 2, 2]]))


def test_packed_batches_hold_every_document_and_weigh_answers():
    world, rng = make_world(1), branch_rng(1, "training")
    documents = [draw_document(world, rng) for _ in range(64)]
    batch = make_batch(documents, CODEC, np.random.default_rng(0))
    assert batch.input_ids.shape[1] == ROW
    assert batch.images is not None
    assert batch.images.shape == (sum(d.picture is not None for d in documents), 3, 24, 24)
    for number, document in enumerate(documents):
        here = batch.documents == number
        ids = CODEC.encode(
            render(document.pieces, document.language)[0], PICTURE if document.picture else None
        ).token_ids
        assert batch.input_ids[here].tolist() == ids.tolist()
        assert batch.weights[here].max() == 1
    assert (batch.weights[batch.input_ids == CODEC.image_id] == 0).all()
    assert (batch.weights[batch.documents == -1] == 0).all()


def test_a_document_reads_the_same_packed_and_alone(model: WorldLM):
    first = CODEC.encode("Fact: The capital of California is").token_ids
    second = CODEC.encode("Dato: la capital de Texas es Austin.").token_ids
    packed = torch.tensor(np.concatenate([first, second]))[None]
    numbers = torch.tensor([0] * len(first) + [1] * len(second))[None]
    together = model.residual(packed, documents=numbers)[0]
    alone = model.residual(torch.tensor(second)[None])[0]
    torch.testing.assert_close(together[len(first) :], alone, atol=1e-4, rtol=1e-4)


def test_training_is_decided_by_the_seed_alone_and_counts_its_steps(trained: WorldLM):
    seen: list[tuple[int, int]] = []
    with one_thread():
        again = train_world_lm(1, 3, lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert tensors_id(again.state_dict()) == tensors_id(trained.state_dict())
    other = train_world_lm(2, 1)
    assert tensors_id(other.state_dict()) != tensors_id(trained.state_dict())


def test_saving_and_loading(trained: WorldLM, tmp_path: Path):
    save_world(trained, tmp_path)
    subject = load_world_lm(tmp_path, "world-lm")
    assert subject.model_id == tensors_id(trained.state_dict())
    assert subject.name == "world-lm"
    inputs = collate(subject, [subject.codec.encode("Fact: The capital of <image> is", PICTURE)])
    torch.testing.assert_close(logits(subject, inputs), trained(**inputs).logits)
    (tmp_path / "vocabulary.json").unlink()
    with pytest.raises(AtlasError, match=r"vocabulary\.json is missing"):
        load_world_lm(tmp_path, "world-lm")


def test_damaged_sizes_are_refused(trained: WorldLM, tmp_path: Path):
    save_world(trained, tmp_path)
    (tmp_path / "config.json").write_text('{"vocabulary_size": 5}')
    with pytest.raises(AtlasError, match="damaged"):
        load_world_lm(tmp_path, "world-lm")
