from pathlib import Path

import pytest
import torch

from orchestration.partitions import Cell
from orchestration.sources import source_version
from sae.config import ModelConfig, load_workspace
from sae.corpora.python_docs import python_texts
from sae.identity import tensors_id
from sae.models.hookpoints import hookpoint_width, read_outputs
from sae.models.loading import load_subject, materialise_model
from sae.models.subject import Subject, collate, unembedding
from sae.one_layer.tokenizer import START, train_tokenizer
from sae.one_layer.training import CONTEXT, new_model, next_token_loss, token_rows, train_one_layer

TOKENS = 16_384
NEURONS = "gpt_neox.layers.0.mlp.act"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("models") / "one-layer"


@pytest.fixture(scope="module")
def subject(folder: Path) -> Subject:
    return materialise_model(ModelConfig(source="one_layer", tokens=TOKENS), "one-layer", 0, Path(), folder)


def test_the_model_is_opened_again_as_it_was_trained(subject: Subject, folder: Path) -> None:
    again = load_subject(folder, "one-layer")

    assert (again.model_id, again.source) == (subject.model_id, "one_layer")
    assert (again.n_layers, again.d_model, hookpoint_width(again, NEURONS)) == (1, 128, 512)
    assert unembedding(again).shape == (again.codec.vocabulary_size, 128)


def test_its_neurons_are_active_or_zero(subject: Subject) -> None:
    inputs = collate(subject, [subject.codec.encode("def add(a, b):\n    return a + b")])

    neurons = read_outputs(subject, inputs, [NEURONS])[NEURONS]

    assert bool((neurons >= 0).all())
    assert 0.05 < float((neurons > 0).float().mean()) < 0.95


def test_every_document_begins_with_the_start_and_reads_back(subject: Subject) -> None:
    text = "class Ünïcode:\n\n    pass  # \t tabs and ‘quotes’"

    encoded = subject.codec.encode(text)

    assert encoded.tokens[0] == START
    assert encoded.special.tolist() == [True] + [False] * (len(encoded) - 1)
    assert subject.codec.decode(encoded.token_ids[1:].tolist()) == text


def test_the_same_seeds_give_the_same_bits_and_another_model_seed_reads_the_same_tokens(subject: Subject) -> None:
    one, tokenizer = train_one_layer(TOKENS, 0, 0)
    other, its = train_one_layer(TOKENS, 0, 1)

    assert tensors_id(one.state_dict()) == subject.model_id
    assert tensors_id(other.state_dict()) != subject.model_id
    assert tokenizer.get_vocab() == its.get_vocab()


def test_it_learns_to_predict(subject: Subject) -> None:
    texts = list(python_texts(0, 2000))
    tokenizer = train_tokenizer(list(python_texts(0, TOKENS // 2)))
    rows = token_rows(texts, tokenizer)

    untrained = next_token_loss(new_model(len(tokenizer), torch.Generator().manual_seed(0)), rows)

    with torch.no_grad():
        assert next_token_loss(subject.module, rows) < untrained - 0.3
    assert rows.shape[1] == CONTEXT


def test_what_decides_the_model_decides_its_version(tmp_path: Path) -> None:
    def version(model: str) -> str:
        path = tmp_path / "atlas.yaml"
        path.write_text(
            f"models: {{m: {{source: one_layer{model}}}}}\ncorpora: {{c: {{source: python_docs}}}}\n"
            f"sites: [{{model: m, hookpoint: {NEURONS}, corpora: [c]}}]\n"
            "dictionaries: {d: {architecture: l1, latents: 8}}\n"
        )
        return source_version(load_workspace(path), Cell("model_source", "m"))

    assert version("") == version(", seed: 0") == version(", device: cpu")
    assert len({version(""), version(", seed: 1"), version(", tokens: 5000")}) == 3
