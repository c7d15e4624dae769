import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sae.dictionaries.dictionary import Dictionary
from sae.dictionaries.loss_recovered import LossRecovered, loss_recovered
from sae.errors import AtlasError
from sae.models.encoding import Encoded
from sae.models.subject import Subject


def exact() -> Dictionary:
    """Reconstructs every x: the axes and their opposites."""
    rows = torch.cat([torch.eye(6), -torch.eye(6)])
    return Dictionary(rows.T.contiguous(), torch.zeros(12), rows, torch.zeros(6), "standard")


def constant(value: torch.Tensor) -> Dictionary:
    """Reconstructs everything as `value`."""
    return Dictionary(torch.zeros(6, 1), torch.zeros(1), torch.zeros(1, 6), value, "standard")


def documents(subject: Subject) -> list[Encoded]:
    return [subject.codec.encode(text) for text in ("1 2 3 1", "2 3", "3 3 1 2 4")]


def by_hand(subject: Subject, texts: list[Encoded], replaced: dict[int, torch.Tensor]) -> float:
    module: Any = subject.module
    losses = []
    for text in texts:
        for read, predicted in zip(text.token_ids[:-1], text.token_ids[1:], strict=True):
            x = replaced.get(int(read), module.embedding[int(read)])
            losses.append(float(F.cross_entropy((x @ module.head)[None], torch.tensor([int(predicted)]))))
    return sum(losses) / len(losses)


def test_cross_entropies_are_those_computed_by_hand(five_words: Subject) -> None:
    texts = documents(five_words)
    mean = torch.full((6,), 0.2)

    found = loss_recovered(five_words, "layers.1", constant(torch.ones(6)), texts, mean=mean, massive_norm=10)

    # The special token 0 and the massive word 4 keep what the model computed, in every variant.
    assert found.ce_original == pytest.approx(by_hand(five_words, texts, {}), rel=1e-5)
    assert found.ce_spliced == pytest.approx(
        by_hand(five_words, texts, dict.fromkeys((1, 2, 3), torch.ones(6))), rel=1e-5
    )
    assert found.ce_zero == pytest.approx(
        by_hand(five_words, texts, dict.fromkeys((1, 2, 3), torch.zeros(6))), rel=1e-5
    )
    assert found.ce_mean == pytest.approx(by_hand(five_words, texts, dict.fromkeys((1, 2, 3), mean)), rel=1e-5)
    assert (found.n_documents, found.n_predicted, found.n_replaced) == (3, 11, 10)


def test_an_exact_dictionary_recovers_all_and_a_zero_one_nothing(five_words: Subject) -> None:
    texts = documents(five_words)

    assert loss_recovered(five_words, "layers.1", exact(), texts).loss_recovered == pytest.approx(1)
    assert loss_recovered(five_words, "layers.1", constant(torch.zeros(6)), texts).loss_recovered == 0


def test_the_formulas() -> None:
    found = LossRecovered(2.0, 2.5, 6.0, 4.0, n_documents=1, n_predicted=1, n_replaced=1)

    assert found.ce_delta == 0.5
    assert found.loss_recovered == (6 - 2.5) / (6 - 2)
    assert found.loss_recovered_from_mean == (4 - 2.5) / (4 - 2)
    assert math.isnan(LossRecovered(2.0, 2.5, 2.0, None, 1, 1, 1).loss_recovered)


def test_long_documents_are_cut_and_batches_do_not_matter(five_words: Subject) -> None:
    texts = [five_words.codec.encode(" ".join("1232" * 5)), *documents(five_words)]

    small = loss_recovered(five_words, "layers.1", constant(torch.ones(6)), texts, batch_tokens=8)
    large = loss_recovered(five_words, "layers.1", constant(torch.ones(6)), texts, batch_tokens=1024)

    assert small.n_predicted == large.n_predicted == 20 + 11
    assert small.ce_spliced == pytest.approx(large.ce_spliced)


def test_picture_patches_are_replaced_but_never_predicted(five_words: Subject) -> None:
    text = five_words.codec.encode("1 2 3")
    picture = Encoded(text.token_ids, text.tokens, text.spans, text.special, ["text", "image", "image", "text"])

    found = loss_recovered(five_words, "layers.1", constant(torch.ones(6)), [picture])

    assert (found.n_predicted, found.n_replaced) == (1, 3)


def test_nothing_to_predict_is_refused(five_words: Subject) -> None:
    lone = Encoded(np.array([0]), ["0"], np.zeros((1, 2), np.int32), np.array([True]), ["text"])

    with pytest.raises(AtlasError, match="no token to predict"):
        loss_recovered(five_words, "layers.1", exact(), [lone])


def test_a_dictionary_of_another_width_is_refused(five_words: Subject, make_dictionary) -> None:
    with pytest.raises(AtlasError, match="6 dimensions, the dictionary reads 3"):
        loss_recovered(five_words, "layers.1", make_dictionary("standard", 3, 4), documents(five_words))
