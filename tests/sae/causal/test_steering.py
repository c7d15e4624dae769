import pytest
import torch

from sae.causal.steering import Clamp, clamp_features, steer
from sae.dictionaries.dictionary import Dictionary
from sae.errors import AtlasError
from sae.models.hookpoints import hook_module, read_outputs, replaced_output
from sae.models.subject import Subject, collate, logits


def greedy(subject: Subject, text: str, new_tokens: int) -> str:
    words = text
    with torch.no_grad():
        for _ in range(new_tokens):
            scores = logits(subject, collate(subject, [subject.codec.encode(words)]))[0, -1]
            words += " " + subject.codec.token(int(scores.argmax()))
    return words[len(text) + 1 :]


def test_strength_zero_is_the_model_s_own_continuation(transformer: Subject, dictionary: Dictionary):
    encoded = transformer.codec.encode("a b c")
    result = steer(transformer, "layers.1", dictionary, encoded, [Clamp(4, 0, 3.0), Clamp(4, 5, 3.0)], new_tokens=4)
    assert result[0].completion == greedy(transformer, "a b c", 4)
    assert result[0].logit_shift == 0
    assert result[1].clamp == Clamp(4, 5, 3.0)


def test_a_clamp_replaces_the_feature_and_keeps_everything_else(linear: Subject, dictionary: Dictionary):
    encoded = linear.codec.encode("a b c d")
    x = read_outputs(linear, collate(linear, [encoded]), ["layers.1"])["layers.1"]
    read = torch.tensor([[False, True, True, True, False]] * 2)
    features, values = torch.tensor([4, 7]), torch.tensor([9.0, -2.0])
    moved = clamp_features(dictionary, x.repeat(2, 1, 1), read, features, values, torch.tensor([True, True]))
    for row in range(2):
        codes = dictionary.encode(x[0])
        error = x[0] - dictionary.decode(codes)
        codes[1:4, features[row]] = values[row]
        torch.testing.assert_close(moved[row], dictionary.decode(codes) + error, rtol=1e-4, atol=1e-5)


def test_the_logit_shift_is_the_first_pass_s_change_against_the_mean(linear: Subject, dictionary: Dictionary):
    encoded = linear.codec.encode("a b c d")
    inputs = collate(linear, [encoded])
    own = logits(linear, inputs)[0, -1]
    read = torch.tensor([[False, True, True, True, True]])
    clamps = [Clamp(4, 5, 2.0), Clamp(9, -5, 2.0), Clamp(9, 10, 1.0)]

    def shift(clamp: Clamp) -> float:
        def replace(x: torch.Tensor) -> torch.Tensor:
            value = torch.tensor([clamp.strength * clamp.maximum])
            return clamp_features(dictionary, x, read, torch.tensor([clamp.feature]), value, torch.tensor([True]))

        with replaced_output(hook_module(linear, "layers.1"), replace):
            steered = logits(linear, inputs)[0, -1]
        token = int(own.argmax())
        return float((steered[token] - steered.mean()) - (own[token] - own.mean()))

    result = steer(linear, "layers.1", dictionary, encoded, clamps, new_tokens=2, batch_tokens=7)
    for clamp, steered in zip(clamps, result, strict=True):
        assert steered.logit_shift == pytest.approx(shift(clamp), rel=1e-3, abs=1e-3)
        assert len(steered.completion.split()) == 2


def test_massive_positions_stay_as_they_are(linear: Subject, dictionary: Dictionary):
    encoded = linear.codec.encode("a b")
    result = steer(linear, "layers.1", dictionary, encoded, [Clamp(3, 10, 5.0)], new_tokens=1, massive_norm=0.0)
    assert result[0].logit_shift == pytest.approx(0, abs=1e-6)


def test_a_completion_beyond_the_context_is_refused(linear: Subject, dictionary: Dictionary):
    with pytest.raises(AtlasError, match="exceed the 16 tokens"):
        steer(linear, "layers.1", dictionary, linear.codec.encode("a b c"), [Clamp(1, 1, 1.0)], new_tokens=13)
    with pytest.raises(AtlasError, match="at least one"):
        steer(linear, "layers.1", dictionary, linear.codec.encode("a"), [Clamp(1, 1, 1.0)], new_tokens=0)
