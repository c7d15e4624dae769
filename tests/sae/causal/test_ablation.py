import pytest
import torch

from sae.causal.ablation import ablate, ablate_random
from sae.causal.answer import Answer
from sae.causal.attribution import attribute
from sae.causal.passes import read_prompt
from sae.dictionaries.dictionary import Dictionary
from sae.models.hookpoints import hook_module, replaced_output
from sae.models.subject import Subject, collate, logits

THREE_OR_FIVE = Answer((3,), (5,))


def test_in_a_linear_model_ablation_equals_attribution(linear: Subject, dictionary: Dictionary):
    read = read_prompt(linear, "layers.1", linear.codec.encode("a b c d e f"), THREE_OR_FIVE)
    found = attribute(read, dictionary)
    effects = ablate(read, dictionary, found.positions, found.features, found.activations, batch_tokens=40)
    torch.testing.assert_close(effects, found.attributions, rtol=1e-3, atol=1e-3)


def test_batched_ablation_is_what_one_clamped_pass_after_another_gives(transformer: Subject, dictionary: Dictionary):
    encoded = transformer.codec.encode("a b c d e f")
    answer = Answer((3,))
    read = read_prompt(transformer, "layers.1", encoded, answer)
    found = attribute(read, dictionary)
    effects = ablate(
        read, dictionary, found.positions, found.features, found.activations, batch_tokens=3 * len(encoded)
    )
    inputs = collate(transformer, [encoded])
    with torch.no_grad():
        before = answer.difference([logits(transformer, inputs)[0, -1:]])
        for row in range(0, len(found), 7):
            position, feature = int(found.positions[row]), int(found.features[row])

            def clamp(x: torch.Tensor, position: int = position, feature: int = feature) -> torch.Tensor:
                codes = dictionary.encode(x[0])
                error = x[0] - dictionary.decode(codes)
                codes[position, feature] = 0
                return (dictionary.decode(codes) + error)[None]

            with replaced_output(hook_module(transformer, "layers.1"), clamp):
                after = answer.difference([logits(transformer, inputs)[0, -1:]])
            torch.testing.assert_close(effects[row], before - after, rtol=1e-3, atol=1e-4)


def test_the_control_takes_away_as_much_along_another_feature(linear: Subject, dictionary: Dictionary):
    read = read_prompt(linear, "layers.1", linear.codec.encode("a b c d"), THREE_OR_FIVE)
    found = attribute(read, dictionary)
    pairs = (found.positions, found.features, found.activations)

    first, again, other = (ablate_random(read, dictionary, *pairs, seed=seed) for seed in (1, 1, 2))

    assert torch.equal(first, again)
    assert not torch.allclose(first, other)
    slopes = (
        dictionary.W_dec @ read.gradient.T
    )  # linear: a step of length s along row j changes the answer by s times it
    for row in range(len(found)):
        position, feature = found.positions[row], found.features[row]
        possible = float(found.activations[row]) * slopes[:, position]
        nearest = int((possible - first[row]).abs().argmin())
        assert float(first[row]) == pytest.approx(float(possible[nearest]), abs=1e-3)
        assert nearest != feature


def test_nothing_to_ablate_gives_nothing(transformer: Subject, dictionary: Dictionary):
    nothing = torch.zeros(0, dtype=torch.int64)
    read = read_prompt(transformer, "layers.1", transformer.codec.encode("a b"), THREE_OR_FIVE)
    assert ablate(read, dictionary, nothing, nothing, torch.zeros(0)).shape == (0,)
    assert ablate_random(read, dictionary, nothing, nothing, torch.zeros(0), seed=0).shape == (0,)
