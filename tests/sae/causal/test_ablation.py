import torch

from sae.causal.ablation import ablate
from sae.causal.attribution import Attribution, attribute
from sae.causal.residual import logit_difference
from sae.dictionaries.dictionary import Dictionary
from sae.models.encoding import Encoded
from sae.models.hookpoints import hook_module, replaced_output
from sae.models.subject import Subject, collate, logits


def effects_of(
    subject: Subject, dictionary: Dictionary, encoded: Encoded, found: Attribution, batch_tokens: int
) -> torch.Tensor:
    return ablate(
        subject,
        "layers.1",
        dictionary,
        encoded,
        found.target_id,
        found.baseline_id,
        found.positions,
        found.features,
        found.activations,
        batch_tokens=batch_tokens,
    )


def test_in_a_linear_model_ablation_equals_attribution(linear: Subject, dictionary: Dictionary):
    encoded = linear.codec.encode("a b c d e f")
    found = attribute(linear, "layers.1", dictionary, encoded, 3, 5)
    effects = effects_of(linear, dictionary, encoded, found, batch_tokens=40)
    torch.testing.assert_close(effects, found.attributions, rtol=1e-3, atol=1e-3)


def test_batched_ablation_is_what_one_clamped_pass_after_another_gives(transformer: Subject, dictionary: Dictionary):
    encoded = transformer.codec.encode("a b c d e f")
    found = attribute(transformer, "layers.1", dictionary, encoded, 3, None)
    effects = effects_of(transformer, dictionary, encoded, found, batch_tokens=3 * len(encoded))
    inputs = collate(transformer, [encoded])
    with torch.no_grad():
        before = logit_difference(logits(transformer, inputs)[0, -1], 3, None)
        for row in range(0, len(found), 7):
            position, feature = int(found.positions[row]), int(found.features[row])

            def clamp(x: torch.Tensor, position: int = position, feature: int = feature) -> torch.Tensor:
                codes = dictionary.encode(x[0])
                error = x[0] - dictionary.decode(codes)
                codes[position, feature] = 0
                return (dictionary.decode(codes) + error)[None]

            with replaced_output(hook_module(transformer, "layers.1"), clamp):
                after = logit_difference(logits(transformer, inputs)[0, -1], 3, None)
            torch.testing.assert_close(effects[row], before - after, rtol=1e-3, atol=1e-4)


def test_nothing_to_ablate_gives_nothing(transformer: Subject, dictionary: Dictionary):
    nothing = torch.zeros(0, dtype=torch.int64)
    encoded = transformer.codec.encode("a b")
    effects = ablate(transformer, "layers.1", dictionary, encoded, 3, 5, nothing, nothing, torch.zeros(0))
    assert effects.shape == (0,)
