import numpy as np
import pytest
import torch
from tiny_models import SENTENCES

from sae.errors import AtlasError
from sae.models.hookpoints import read_outputs
from sae.models.subject import Subject, collate, final_norm, logits, unembedding
from sae.world.codec import build_codec


def test_collate_pads_right_with_a_mask(subject: Subject):
    encoded = [subject.codec.encode(text) for text in SENTENCES[:2]]

    batch = collate(subject, encoded)

    for row, document in enumerate(encoded):
        assert batch["input_ids"][row, : len(document)].tolist() == document.token_ids.tolist()
        assert batch["attention_mask"][row].sum() == len(document)
        assert (batch["attention_mask"][row, : len(document)] == 1).all()


def test_padding_changes_no_logit(subject: Subject):
    short, long = (subject.codec.encode(text) for text in ("The bridge", SENTENCES[0]))

    alone = logits(subject, collate(subject, [short]))[0]
    beside = logits(subject, collate(subject, [long, short]))[1, : len(short)]

    torch.testing.assert_close(beside, alone, atol=1e-5, rtol=1e-4)


def test_the_demo_worlds_pictures_keep_their_order_and_are_scaled():
    codec = build_codec()
    documents = [codec.encode("<image>", np.full((24, 24, 3), shade, dtype=np.uint8)) for shade in (255, 0)]

    images = codec.picture_inputs([documents[0], codec.encode("Fact"), documents[1]], 8)["images"]

    assert images.shape == (2, 3, 24, 24)
    assert images.mean(dim=(1, 2, 3)).tolist() == [1.0, 0.0]
    assert codec.picture_inputs([codec.encode("Fact")], 8) == {}


def test_collate_refuses_empty_and_too_long(llama: Subject):
    with pytest.raises(AtlasError, match="at least one"):
        collate(llama, [])
    with pytest.raises(AtlasError, match="longer than the 32"):
        collate(llama, [llama.codec.encode("Bridge " * 40)])


def test_unembedding_gives_the_logits_of_the_last_hidden_state(subject: Subject):
    if subject.architecture.startswith("Bert"):
        pytest.skip("a masked model has a whole head after its last block, which no fold replaces")
    batch = collate(subject, [subject.codec.encode(SENTENCES[0])])
    x = read_outputs(subject, batch, ["layers.2"])["layers.2"][0]
    norm = final_norm(subject.module)
    eps = float(getattr(norm, "eps", 0) or getattr(norm, "variance_epsilon", 0))
    variance = x.var(dim=1, correction=0) if isinstance(norm, torch.nn.LayerNorm) else (x**2).mean(dim=1)

    direct = (x / (variance + eps).sqrt()[:, None]) @ unembedding(subject).T

    torch.testing.assert_close(direct, logits(subject, batch)[0], atol=1e-5, rtol=1e-4)


def test_a_model_without_a_head_says_so(llama: Subject):
    headless = Subject(
        **{**llama.__dict__, "module": llama.module.get_submodule("model"), "architecture": "LlamaModel"}
    )

    with pytest.raises(AtlasError, match="no language head"):
        logits(headless, collate(headless, [headless.codec.encode("The")]))
    with pytest.raises(AtlasError, match="no unembedding"):
        unembedding(headless)
