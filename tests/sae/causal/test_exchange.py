from typing import Any

import pytest
import torch

from sae.causal.answer import Answer
from sae.causal.exchange import Exchange, exchange
from sae.causal.passes import PromptPass, read_prompt
from sae.dictionaries.dictionary import Dictionary
from sae.models.hookpoints import read_outputs
from sae.models.subject import Subject, collate

ANSWER = Answer((3,), (5,))


def read(subject: Subject, text: str) -> PromptPass:
    return read_prompt(subject, "layers.1", subject.codec.encode(text), ANSWER)


def test_an_exchange_holds_features_where_it_says_and_keeps_the_error(linear: Subject, dictionary: Dictionary):
    encoded = linear.codec.encode("a b c d")
    x = read_outputs(linear, collate(linear, [encoded]), ["layers.1"])["layers.1"][0]
    codes = dictionary.encode(x)
    out, put = int(codes[2].argmax()), int(codes[2].argmin())
    changed = x.clone()
    for position in (2, 4):
        changed[position] -= codes[position, out] * dictionary.W_dec[out]
        changed[position] += (1.5 - codes[position, put]) * dictionary.W_dec[put]

    made = exchange(
        read(linear, "a b c d"), dictionary, [Exchange(frozenset({out}), {put: 1.5}, positions=(2, 4))], seed=0
    )

    length = len(encoded)
    module: Any = linear.module  # linear behind its hookpoint
    wanted = (module.mix[:length, :length] @ changed @ module.head)[-1]
    torch.testing.assert_close(made.after.differences[0], wanted[3] - wanted[5], atol=1e-4, rtol=1e-4)
    assert int(made.after.predicted[0]) == int(wanted.argmax())


def test_without_positions_every_one_that_is_read_is_changed(linear: Subject, dictionary: Dictionary):
    everywhere, listed = Exchange(put={3: 2.0}), Exchange(put={3: 2.0}, positions=(0, 1, 2, 3))

    made = exchange(read(linear, "a b c"), dictionary, [everywhere, listed], seed=0)

    torch.testing.assert_close(made.after.differences[0], made.after.differences[1])


def test_special_positions_stay_as_they_are(linear: Subject, dictionary: Dictionary):
    prompt = read(linear, "a b")

    made = exchange(prompt, dictionary, [Exchange(put={3: 9.0}, positions=(0,))], seed=0)

    assert float(made.after.differences[0]) == pytest.approx(prompt.difference, rel=1e-4)


def test_the_control_moves_as_far_along_other_features(linear: Subject, dictionary: Dictionary):
    one, two = Exchange(put={3: 2.0}, positions=(2,)), Exchange(frozenset({5, 6}))

    first, again, other = (exchange(read(linear, "a b c"), dictionary, [one, two], seed=seed) for seed in (1, 1, 2))

    assert torch.equal(first.control.differences, again.control.differences)
    assert not torch.allclose(first.control.differences, other.control.differences)
    assert not torch.allclose(first.control.differences, first.after.differences)
    assert [len(drawn) for drawn in first.drawn] == [1, 2]
    assert not {3, 5, 6} & {feature for drawn in first.drawn for feature in drawn[:1]}


def test_controls_draw_no_feature_twice_while_there_are_others(linear: Subject, dictionary: Dictionary):
    exchanges = [Exchange(frozenset({feature})) for feature in range(12)]

    drawn = exchange(read(linear, "a b"), dictionary, exchanges, seed=0).drawn

    assert len({feature for one in drawn for feature in one}) == 12


@pytest.mark.parametrize("count", [1, 3])
def test_several_exchanges_are_made_in_one_pass(transformer: Subject, dictionary: Dictionary, count: int):
    exchanges = [Exchange(frozenset({number}), {number + 1: 1.0}, (1, 2)) for number in range(count)]

    made = exchange(read(transformer, "a b c"), dictionary, exchanges, seed=0)

    alone = exchange(read(transformer, "a b c"), dictionary, exchanges[-1:], seed=0)
    assert made.after.differences.shape == made.control.predicted.shape == (count,)
    torch.testing.assert_close(made.after.differences[-1], alone.after.differences[0], atol=1e-5, rtol=1e-5)
