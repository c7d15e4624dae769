from typing import Any

import pytest
import torch

from sae.causal.exchange import Exchange, exchange
from sae.dictionaries.dictionary import Dictionary
from sae.models.hookpoints import read_outputs
from sae.models.subject import Subject, collate, logits


def test_an_exchange_holds_features_where_it_says_and_keeps_the_error(linear: Subject, dictionary: Dictionary):
    encoded = linear.codec.encode("a b c d")
    x = read_outputs(linear, collate(linear, [encoded]), ["layers.1"])["layers.1"][0]
    codes = dictionary.encode(x)
    out, put = int(codes[2].argmax()), int(codes[2].argmin())
    changed = x.clone()
    for position in (2, 4):
        changed[position] -= codes[position, out] * dictionary.W_dec[out]
        changed[position] += (1.5 - codes[position, put]) * dictionary.W_dec[put]

    made = exchange(linear, "layers.1", dictionary, encoded, [Exchange(frozenset({out}), {put: 1.5})], [2, 4], seed=0)

    length = len(encoded)
    module: Any = linear.module  # linear behind its hookpoint
    wanted = (module.mix[:length, :length] @ changed @ module.head)[-1]
    torch.testing.assert_close(made.after[0], wanted, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(made.before, logits(linear, collate(linear, [encoded]))[0, -1])


def test_special_positions_stay_as_they_are(linear: Subject, dictionary: Dictionary):
    encoded = linear.codec.encode("a b")

    made = exchange(linear, "layers.1", dictionary, encoded, [Exchange(frozenset(), {3: 9.0})], [0], seed=0)

    torch.testing.assert_close(made.after[0], made.before)


def test_the_control_moves_as_far_along_other_features(linear: Subject, dictionary: Dictionary):
    encoded = linear.codec.encode("a b c")
    one = Exchange(frozenset(), {3: 2.0})

    first = exchange(linear, "layers.1", dictionary, encoded, [one], [2], seed=1)
    again = exchange(linear, "layers.1", dictionary, encoded, [one], [2], seed=1)
    other = exchange(linear, "layers.1", dictionary, encoded, [one], [2], seed=2)

    assert torch.equal(first.control, again.control)
    assert not torch.allclose(first.control, other.control)
    assert not torch.allclose(first.control, first.after)


@pytest.mark.parametrize("count", [1, 3])
def test_several_exchanges_are_made_in_one_pass(transformer: Subject, dictionary: Dictionary, count: int):
    encoded = transformer.codec.encode("a b c")
    exchanges = [Exchange(frozenset({number}), {number + 1: 1.0}) for number in range(count)]

    made = exchange(transformer, "layers.1", dictionary, encoded, exchanges, [1, 2], seed=0)

    alone = exchange(transformer, "layers.1", dictionary, encoded, exchanges[-1:], [1, 2], seed=0)
    assert made.after.shape == made.control.shape == (count, len(made.before))
    torch.testing.assert_close(made.after[-1], alone.after[0], atol=1e-5, rtol=1e-5)
