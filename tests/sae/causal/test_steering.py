from pathlib import Path

import pytest
import torch
from tiny_vision_models import VISION_FAMILIES, tiny_picture, tiny_vision_subject

from sae.causal.steering import Clamp, clamp_features, steer
from sae.dictionaries.dictionary import Dictionary
from sae.errors import AtlasError
from sae.models.encoding import Encoded
from sae.models.hookpoints import hook_module, read_outputs, replaced_output
from sae.models.subject import Subject, collate, extended, logits


def held_at(dictionary: Dictionary, *settings: dict[int, float]) -> tuple[torch.Tensor, torch.Tensor]:
    """Values and marks [b, d_sae] of the features that each row holds."""
    values = torch.zeros(len(settings), dictionary.d_sae)
    held = torch.zeros_like(values, dtype=torch.bool)
    for row, setting in enumerate(settings):
        for feature, value in setting.items():
            values[row, feature], held[row, feature] = value, True
    return values, held


def by_whole_passes(subject: Subject, dictionary: Dictionary, encoded: Encoded, clamps: dict[int, float], n: int):
    """The completion of a prompt of which every step is read whole, as ids."""
    inputs, values = collate(subject, [encoded]), held_at(dictionary, clamps)

    def hold(x: torch.Tensor) -> torch.Tensor:
        read = torch.ones(1, x.shape[1], dtype=torch.bool)
        read[0, : len(encoded)] = ~torch.from_numpy(encoded.special)
        return clamp_features(dictionary, x, read, *values)

    with torch.no_grad(), replaced_output(hook_module(subject, "layers.1"), hold):
        for _ in range(n):
            inputs = extended(inputs, logits(subject, inputs)[:, -1].argmax(dim=-1))
    return inputs["input_ids"][0, len(encoded) :].tolist()


def test_no_clamp_and_strength_zero_are_the_model_s_own_continuation(transformer: Subject, dictionary: Dictionary):
    encoded = transformer.codec.encode("a b c")
    settings = [(), (Clamp(4, 0, 3.0),), (Clamp(4, 5, 3.0),)]
    result = steer(transformer, "layers.1", dictionary, encoded, settings, new_tokens=4)
    own = by_whole_passes(transformer, dictionary, encoded, {}, 4)
    assert result[0].token_ids == result[1].token_ids == own
    assert result[0].completion == transformer.codec.decode(own)
    assert result[0].logit_shift == result[1].logit_shift == 0
    assert [one.clamps for one in result] == settings


def test_several_features_are_held_at_once(transformer: Subject, dictionary: Dictionary):
    encoded = transformer.codec.encode("a b c d")
    settings = [(Clamp(4, 5, 2.0), Clamp(9, -3, 1.0)), (Clamp(4, 5, 2.0),), (Clamp(9, -3, 1.0),)]
    result = steer(transformer, "layers.1", dictionary, encoded, settings, new_tokens=5)
    for one, held in zip(result, ({4: 10.0, 9: -3.0}, {4: 10.0}, {9: -3.0}), strict=True):
        assert one.token_ids == by_whole_passes(transformer, dictionary, encoded, held, 5)


@pytest.mark.parametrize("family", VISION_FAMILIES)
def test_a_prompt_with_a_picture_is_steered_at_its_patches_too(family: str, tmp_path: Path, dictionary: Dictionary):
    subject = tiny_vision_subject(family, tmp_path)
    generator = torch.Generator().manual_seed(3)
    rows = torch.nn.functional.normalize(torch.randn(30, subject.d_model, generator=generator), dim=1)
    dictionary = Dictionary(rows.T.contiguous(), torch.zeros(30), rows, torch.zeros(subject.d_model), "standard")
    encoded = subject.codec.encode("The <image> is", tiny_picture(0))
    settings = [(), (Clamp(4, 8, 4.0),), (Clamp(4, 8, 4.0), Clamp(11, -8, 4.0))]

    result = steer(subject, "layers.1", dictionary, encoded, settings, new_tokens=3)

    for one, held in zip(result, ({}, {4: 32.0}, {4: 32.0, 11: -32.0}), strict=True):
        assert one.token_ids == by_whole_passes(subject, dictionary, encoded, held, 3)
    assert result[1].logit_shift != result[2].logit_shift != 0
    other = steer(subject, "layers.1", dictionary, subject.codec.encode("The <image> is", tiny_picture(5)), settings, 1)
    assert other[1].logit_shift != result[1].logit_shift


def test_a_clamp_replaces_the_feature_and_keeps_everything_else(linear: Subject, dictionary: Dictionary):
    encoded = linear.codec.encode("a b c d")
    x = read_outputs(linear, collate(linear, [encoded]), ["layers.1"])["layers.1"]
    read = torch.tensor([[False, True, True, True, False]] * 2)
    settings = ({4: 9.0}, {7: -2.0, 4: 1.0})
    moved = clamp_features(dictionary, x.repeat(2, 1, 1), read, *held_at(dictionary, *settings))
    for row, setting in enumerate(settings):
        codes = dictionary.encode(x[0])
        error = x[0] - dictionary.decode(codes)
        for feature, value in setting.items():
            codes[1:4, feature] = value
        torch.testing.assert_close(moved[row], dictionary.decode(codes) + error, rtol=1e-4, atol=1e-5)


def test_the_logit_shift_is_the_first_pass_s_change_against_the_mean(linear: Subject, dictionary: Dictionary):
    encoded = linear.codec.encode("a b c d")
    inputs = collate(linear, [encoded])
    own = logits(linear, inputs)[0, -1]
    read = torch.tensor([[False, True, True, True, True]])
    settings = [(Clamp(4, 5, 2.0),), (Clamp(9, -5, 2.0), Clamp(2, 1, 1.0)), (Clamp(9, 10, 1.0),)]

    def shift(setting: tuple[Clamp, ...]) -> float:
        values = held_at(dictionary, {clamp.feature: clamp.strength * clamp.maximum for clamp in setting})

        def replace(x: torch.Tensor) -> torch.Tensor:
            return clamp_features(dictionary, x, read, *values)

        with replaced_output(hook_module(linear, "layers.1"), replace):
            steered = logits(linear, inputs)[0, -1]
        token = int(own.argmax())
        return float((steered[token] - steered.mean()) - (own[token] - own.mean()))

    result = steer(linear, "layers.1", dictionary, encoded, settings, new_tokens=2, batch_tokens=7)
    for setting, steered in zip(settings, result, strict=True):
        assert steered.logit_shift == pytest.approx(shift(setting), rel=1e-3, abs=1e-3)
        assert len(steered.completion.split()) == 2


def test_massive_positions_stay_as_they_are(linear: Subject, dictionary: Dictionary):
    encoded = linear.codec.encode("a b")
    result = steer(linear, "layers.1", dictionary, encoded, [(Clamp(3, 10, 5.0),)], new_tokens=1, massive_norm=0.0)
    assert result[0].logit_shift == pytest.approx(0, abs=1e-6)


def test_what_cannot_be_steered_is_refused(linear: Subject, dictionary: Dictionary):
    one = (Clamp(1, 1, 1.0),)
    with pytest.raises(AtlasError, match="exceed the 16 tokens"):
        steer(linear, "layers.1", dictionary, linear.codec.encode("a b c"), [one], new_tokens=13)
    with pytest.raises(AtlasError, match="at least one"):
        steer(linear, "layers.1", dictionary, linear.codec.encode("a"), [one], new_tokens=0)
    with pytest.raises(AtlasError, match="two strengths at once"):
        steer(linear, "layers.1", dictionary, linear.codec.encode("a"), [(Clamp(1, 1, 1.0), Clamp(1, 2, 1.0))], 1)
