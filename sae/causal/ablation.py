"""What a feature does to the answer: clamp it to zero at one position, keep the error, read the logits.

Scaling Monosemanticity, "Features as computational intermediates". With the error kept, the clamped residual is
x − f_i · W_dec,i at that position: nothing has to be encoded again.
"""

import torch
from torch import Tensor

from sae.causal.passes import BATCH_TOKENS, Changes, PromptPass, changed
from sae.dictionaries.dictionary import Dictionary


def ablate(
    prompt: PromptPass,
    dictionary: Dictionary,
    positions: Tensor,
    features: Tensor,
    activations: Tensor,
    batch_tokens: int = BATCH_TOKENS,
) -> Tensor:
    """Ablation effects float32 [m]: the logit difference with the feature minus without it, each feature by itself.

    `positions`, `features` (int64 [m]) and `activations` ([m]) are rows of an `Attribution` of the same prompt.
    """
    steps = -activations[:, None] * dictionary.to(prompt.x.device).W_dec[features].float()
    return _effects(prompt, positions, steps, batch_tokens)


def ablate_random(
    prompt: PromptPass,
    dictionary: Dictionary,
    positions: Tensor,
    features: Tensor,
    activations: Tensor,
    seed: int,
    batch_tokens: int = BATCH_TOKENS,
) -> Tensor:
    """The control of `ablate`, float32 [m]: effects of steps as long, at the same positions, along random features.

    Each row draws one of the dictionary's features that is not its own, by `seed`.
    """
    dictionary = dictionary.to(prompt.x.device)
    generator = torch.Generator().manual_seed(seed)
    shift = torch.randint(1, max(2, dictionary.d_sae), (len(features),), generator=generator)
    drawn = (features + shift.to(features.device)) % dictionary.d_sae
    length = activations * dictionary.W_dec[features].float().norm(dim=1)
    rows = torch.nn.functional.normalize(dictionary.W_dec[drawn].float(), dim=1)
    return _effects(prompt, positions, -length[:, None] * rows, batch_tokens)


def _effects(prompt: PromptPass, positions: Tensor, steps: Tensor, batch_tokens: int) -> Tensor:
    if not len(positions):
        return steps.new_zeros(0)
    each = torch.arange(len(positions), device=positions.device)
    return prompt.difference - changed(prompt, Changes(len(each), each, positions, steps), batch_tokens).differences
