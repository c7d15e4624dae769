"""What a feature does to the answer: clamp it to zero at one position, keep the error, read the logits.

Scaling Monosemanticity, "Features as computational intermediates". With the error kept, the clamped residual is
x − f_i · W_dec,i at that position: nothing has to be encoded again.
"""

import torch
from torch import Tensor

from sae.causal.residual import logit_difference, single_call
from sae.dictionaries.dictionary import Dictionary
from sae.models.encoding import Encoded
from sae.models.subject import Subject


def ablate(
    subject: Subject,
    hookpoint: str,
    dictionary: Dictionary,
    encoded: Encoded,
    target_id: int,
    baseline_id: int | None,
    positions: Tensor,
    features: Tensor,
    activations: Tensor,
    batch_tokens: int = 1024,
) -> Tensor:
    """Ablation effects float32 [m]: the logit difference with the feature minus without it, each feature by itself.

    `positions`, `features` (int64 [m]) and `activations` ([m]) are rows of an `Attribution` of the same document.
    As many interventions share a forward pass as fit into `batch_tokens` positions, and the part of the model before
    the hookpoint is computed once a pass.
    """
    if not len(positions):
        return activations.new_zeros(0)
    rows = max(1, batch_tokens // len(encoded))
    steps = -activations[:, None] * dictionary.W_dec[features].float()
    whole = patched_logits(subject, hookpoint, encoded, steps.new_zeros(1, len(encoded), steps.shape[1]))
    before = logit_difference(whole, target_id, baseline_id)
    effects = []
    for place, step in zip(positions.split(rows), steps.split(rows), strict=True):
        delta = step.new_zeros(len(step), len(encoded), step.shape[1])
        delta[torch.arange(len(step), device=step.device), place] = step
        after = logit_difference(patched_logits(subject, hookpoint, encoded, delta), target_id, baseline_id)
        effects.append(before - after)
    return torch.cat(effects)


def patched_logits(subject: Subject, hookpoint: str, encoded: Encoded, delta: Tensor) -> Tensor:
    """Logits [b, v] at the last position of a document, after each of b changes `delta` [b, t, d] to the hookpoint."""
    with torch.no_grad():
        return single_call(subject, hookpoint, lambda x: x + delta.to(x.dtype), encoded)
