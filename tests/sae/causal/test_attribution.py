import dataclasses
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sae.causal.answer import Answer
from sae.causal.attribution import Attribution, attribute
from sae.causal.passes import read_prompt
from sae.causal.residual import read_positions, take_apart
from sae.dictionaries.dictionary import Dictionary, Form
from sae.errors import AtlasError
from sae.models.hookpoints import hook_module, read_outputs, replaced_output
from sae.models.subject import Subject, collate, logits

THREE_OR_FIVE = Answer((3,), (5,))
ANSWERS = st.builds(
    Answer,
    st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple),
    st.none() | st.lists(st.integers(10, 18), min_size=1, max_size=3).map(tuple),
)


def parts_of(found: Attribution) -> float:
    return found.attributed + found.bias_attribution + found.error_attribution


def random_dictionary(form: Form, seed: int, d_in: int) -> Dictionary:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    gated: dict[str, Any] = {"r_mag": normal(30) / 4, "b_mag": normal(30) / 4} if form == "gated" else {}
    return Dictionary(
        W_enc=normal(d_in, 30) / 2,
        b_enc=normal(30) / 4,
        W_dec=normal(30, d_in),
        b_dec=normal(d_in),
        form=form,
        threshold=normal(30).abs() if form == "jumprelu" else None,
        k=4 if form == "topk" else None,
        apply_b_dec_to_input=bool(seed % 2),
        **gated,
    )


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    words=st.lists(st.sampled_from("abcdefghij"), min_size=1, max_size=8),
    answer=ANSWERS,
    form=st.sampled_from(["standard", "topk", "jumprelu", "gated"]),
    seed=st.integers(0, 1000),
)
def test_features_bias_and_error_sum_to_the_first_order_change(
    transformer: Subject, words: list[str], answer: Answer, form: Form, seed: int
):
    read = read_prompt(transformer, "layers.1", transformer.codec.encode(" ".join(words)), answer)
    found = attribute(read, random_dictionary(form, seed, transformer.d_model))
    # float32 rounding over some hundred terms: far below a thousandth of the terms' magnitudes.
    size = float((read.x * read.gradient).abs().sum() + found.attributions.abs().sum())
    assert parts_of(found) == pytest.approx(found.first_order, abs=1e-4 * max(size, 1e-3))
    assert found.first_order == pytest.approx(float((read.x * read.gradient).sum()), abs=1e-4 * max(size, 1e-3))
    assert 0 <= found.error_share <= 1


def test_in_a_linear_model_the_parts_make_up_the_whole_logit_difference(linear: Subject, dictionary: Dictionary):
    encoded = linear.codec.encode("a b c d e")
    read = read_prompt(linear, "layers.1", encoded, THREE_OR_FIVE)
    found = attribute(read, dictionary)
    scores = logits(linear, collate(linear, [encoded]))[0, -1]
    whole = float(scores[3] - scores[5])
    assert read.difference == pytest.approx(whole, rel=1e-5)
    assert found.first_order == pytest.approx(whole, rel=1e-4)  # no biases: the first-order change is the difference
    assert parts_of(found) == pytest.approx(whole, rel=1e-4)
    assert found.miss < 1e-5
    assert read.predicted_id == int(scores.argmax())
    assert read.is_correct == (read.predicted_id == 3)


def test_rows_are_sorted_and_their_activations_are_the_dictionary_s(linear: Subject, dictionary: Dictionary):
    encoded = linear.codec.encode("a b c d e")
    found = attribute(read_prompt(linear, "layers.1", encoded, Answer((3,))), dictionary)
    codes = dictionary.encode(read_outputs(linear, collate(linear, [encoded]), ["layers.1"])["layers.1"][0])
    assert len(found) == int((codes[1:] > 0).sum())
    torch.testing.assert_close(found.activations, codes[found.positions, found.features])
    assert (found.attributions.diff() <= 0).all()
    assert found.attributed == pytest.approx(float(found.attributions.sum()), abs=1e-4)
    strongest = found.strongest(4)
    rest = torch.ones(len(found), dtype=torch.bool)
    rest[strongest] = False
    assert found.attributions[strongest].abs().min() >= found.attributions[rest].abs().max()


def test_the_mean_logit_is_the_baseline_where_none_is_given(linear: Subject):
    encoded = linear.codec.encode("c b a")
    scores = logits(linear, collate(linear, [encoded]))[0, -1]
    target = int(scores.argmax())
    read = read_prompt(linear, "layers.1", encoded, Answer((target,)))
    assert read.difference == pytest.approx(float(scores[target] - scores.mean()), rel=1e-5)
    assert read.is_correct


def test_special_and_massive_positions_belong_to_the_error(linear: Subject, dictionary: Dictionary):
    encoded = linear.codec.encode("a b c d")
    x = read_outputs(linear, collate(linear, [encoded]), ["layers.1"])["layers.1"][0]
    limit = float(x[1:].norm(dim=-1).sort().values[-2]) + 1e-4  # the longest of the four is massive
    read = read_positions(encoded.special, x, limit)
    assert read.sum() == 3
    assert not read[0]
    residual = take_apart(dictionary, x, read)
    torch.testing.assert_close(residual.error[~read], x[~read])
    found = attribute(read_prompt(linear, "layers.1", encoded, THREE_OR_FIVE), dictionary, massive_norm=limit)
    assert set(found.positions.tolist()) <= set(read.nonzero().flatten().tolist())
    assert parts_of(found) == pytest.approx(found.first_order, abs=1e-3)


@pytest.mark.parametrize("answer", [THREE_OR_FIVE, Answer((3, 4), (5, 6, 7)), Answer((3, 4)), Answer((3, 4), (3, 6))])
def test_the_gradient_is_that_of_the_rest_of_the_model(transformer: Subject, dictionary: Dictionary, answer: Answer):
    encoded = transformer.codec.encode("a b c d e")
    found = attribute(read_prompt(transformer, "layers.1", encoded, answer), dictionary)
    position, feature = int(found.positions[0]), int(found.features[0])
    step = 1e-2

    def nudged(size: float) -> float:
        def move(x: torch.Tensor) -> torch.Tensor:
            moved = x.clone()
            moved[0, position] += size * dictionary.W_dec[feature]
            return moved

        read = []
        for branch in answer.branches:
            whole = transformer.codec.encode(" ".join([*encoded.tokens[1:], *(map(transformer.codec.token, branch))]))
            with torch.no_grad(), replaced_output(hook_module(transformer, "layers.1"), move):
                scores = logits(transformer, collate(transformer, [whole]))[0]
            read.append(scores[len(encoded) - 1 : -1])
        return float(answer.difference(read))

    slope = (nudged(step) - nudged(-step)) / (2 * step)
    assert float(found.attributions[0]) == pytest.approx(float(found.activations[0]) * slope, rel=2e-2, abs=1e-3)


def test_a_hookpoint_called_twice_is_refused(twice_called: Subject):
    with pytest.raises(AtlasError, match=r"layers\.1 2 times"):
        read_prompt(twice_called, "layers.1", twice_called.codec.encode("a b"), Answer((3,)))


def test_a_dictionary_whose_parts_do_not_add_up_is_refused(linear: Subject, dictionary: Dictionary):
    class Scaled(Dictionary):
        def decode(self, codes: torch.Tensor) -> torch.Tensor:
            return 2 * super().decode(codes)

    fields = {field.name: getattr(dictionary, field.name) for field in dataclasses.fields(dictionary) if field.init}
    read = read_prompt(linear, "layers.1", linear.codec.encode("a b c"), THREE_OR_FIVE)
    with pytest.raises(AtlasError, match="first-order change"):
        attribute(read, Scaled(**fields))
