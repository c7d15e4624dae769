import dataclasses

import pytest
import torch

from sae.causal.attribution import attribute
from sae.causal.residual import read_positions, take_apart
from sae.dictionaries.dictionary import Dictionary
from sae.errors import AtlasError
from sae.models.hookpoints import hook_module, read_outputs, replaced_output
from sae.models.subject import Subject, collate, logits


def test_in_a_linear_model_the_parts_make_up_the_whole_logit_difference(linear: Subject, dictionary: Dictionary):
    encoded = linear.codec.encode("a b c d e")
    found = attribute(linear, "layers.1", dictionary, encoded, target_id=3, baseline_id=5)
    scores = logits(linear, collate(linear, [encoded]))[0, -1]
    whole = float(scores[3] - scores[5])
    assert found.logit_diff == pytest.approx(whole, rel=1e-5)
    assert found.first_order == pytest.approx(whole, rel=1e-4)  # no biases: the first-order change is the difference
    parts = found.attributed + found.bias_attribution + found.error_attribution
    assert parts == pytest.approx(whole, rel=1e-4)
    assert found.predicted_id == int(scores.argmax())
    assert not found.is_correct or found.predicted_id == 3


def test_rows_are_sorted_and_their_activations_are_the_dictionary_s(linear: Subject, dictionary: Dictionary):
    encoded = linear.codec.encode("a b c d e")
    found = attribute(linear, "layers.1", dictionary, encoded, 3, None)
    codes = dictionary.encode(read_outputs(linear, collate(linear, [encoded]), ["layers.1"])["layers.1"][0])
    assert len(found) == int((codes[1:] > 0).sum())
    torch.testing.assert_close(found.activations, codes[found.positions, found.features])
    assert (found.attributions.diff() <= 0).all()
    assert found.attributed == pytest.approx(float(found.attributions.sum()), abs=1e-4)
    strongest = found.strongest(4)
    rest = torch.ones(len(found), dtype=torch.bool)
    rest[strongest] = False
    assert found.attributions[strongest].abs().min() >= found.attributions[rest].abs().max()


def test_the_mean_logit_is_the_baseline_where_none_is_given(linear: Subject, dictionary: Dictionary):
    encoded = linear.codec.encode("c b a")
    scores = logits(linear, collate(linear, [encoded]))[0, -1]
    target = int(scores.argmax())
    found = attribute(linear, "layers.1", dictionary, encoded, target)
    assert found.logit_diff == pytest.approx(float(scores[target] - scores.mean()), rel=1e-5)
    assert found.is_correct


def test_special_and_massive_positions_belong_to_the_error(linear: Subject, dictionary: Dictionary):
    encoded = linear.codec.encode("a b c d")
    x = read_outputs(linear, collate(linear, [encoded]), ["layers.1"])["layers.1"][0]
    limit = float(x[1:].norm(dim=-1).sort().values[-2]) + 1e-4  # the longest of the four is massive
    read = read_positions(encoded.special, x, limit)
    assert read.sum() == 3
    assert not read[0]
    residual = take_apart(dictionary, x, read)
    torch.testing.assert_close(residual.error[~read], x[~read])
    found = attribute(linear, "layers.1", dictionary, encoded, 3, 5, massive_norm=limit)
    assert set(found.positions.tolist()) <= set(read.nonzero().flatten().tolist())
    assert found.attributed + found.bias_attribution + found.error_attribution == pytest.approx(
        found.first_order, abs=1e-3
    )


def test_the_gradient_is_that_of_the_rest_of_the_model(transformer: Subject, dictionary: Dictionary):
    encoded = transformer.codec.encode("a b c d e")
    found = attribute(transformer, "layers.1", dictionary, encoded, 3, 5)
    inputs = collate(transformer, [encoded])
    position, feature = int(found.positions[0]), int(found.features[0])
    step = 1e-2

    def nudged(size: float) -> float:
        def move(x: torch.Tensor) -> torch.Tensor:
            moved = x.clone()
            moved[0, position] += size * dictionary.W_dec[feature]
            return moved

        with torch.no_grad(), replaced_output(hook_module(transformer, "layers.1"), move):
            scores = logits(transformer, inputs)[0, -1]
        return float(scores[3] - scores[5])

    slope = (nudged(step) - nudged(-step)) / (2 * step)
    assert float(found.attributions[0]) == pytest.approx(float(found.activations[0]) * slope, rel=2e-2, abs=1e-3)


def test_a_hookpoint_called_twice_is_refused(twice_called: Subject, dictionary: Dictionary):
    with pytest.raises(AtlasError, match=r"layers\.1 2 times"):
        attribute(twice_called, "layers.1", dictionary, twice_called.codec.encode("a b"), 3)


def test_a_dictionary_whose_parts_do_not_add_up_is_refused(linear: Subject, dictionary: Dictionary):
    class Scaled(Dictionary):
        def decode(self, codes: torch.Tensor) -> torch.Tensor:
            return 2 * super().decode(codes)

    fields = {field.name: getattr(dictionary, field.name) for field in dataclasses.fields(dictionary) if field.init}
    with pytest.raises(AtlasError, match="first-order change"):
        attribute(linear, "layers.1", Scaled(**fields), linear.codec.encode("a b c"), 3, 5)
