"""Turn a feature up and let the model speak: clamp it at every position, keep the error, decode greedily.

Scaling Monosemanticity, "Influence on behavior": the feature is set to a multiple of its maximal activation over the
data set, everywhere, and the reconstruction error is put back. A strength of 0 means no intervention at all: the
completion that the others are compared with.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sae.dictionaries.dictionary import Dictionary
from sae.errors import AtlasError
from sae.models.encoding import Encoded
from sae.models.hookpoints import hook_module, replaced_output
from sae.models.subject import Subject, collate, extended, logits


@dataclass(frozen=True)
class Clamp:
    """One feature held at `strength` times `maximum`, its largest activation over the data set."""

    feature: int
    strength: float
    maximum: float


@dataclass(frozen=True)
class Steered:
    """What the model wrote under one clamp."""

    clamp: Clamp
    completion: str
    """The new tokens as text, without the prompt."""
    token_ids: list[int]
    """The new tokens."""
    logit_shift: float
    """Change of the logit, taken against the mean logit, of the token that the model by itself puts first after the
    prompt: negative where steering drives it away from its own continuation, 0 at strength 0."""


def steer(
    subject: Subject,
    hookpoint: str,
    dictionary: Dictionary,
    encoded: Encoded,
    clamps: Sequence[Clamp],
    new_tokens: int,
    massive_norm: float = math.inf,
    batch_tokens: int = 1024,
) -> list[Steered]:
    """Continue one prompt greedily by `new_tokens` tokens under each clamp, in their order.

    Clamped are all positions, those of the completion too, except special tokens and massive activations (norm above
    `massive_norm`), which dictionaries do not read. Raises AtlasError where prompt and completion exceed the context.
    """
    length = len(encoded) + new_tokens
    if length > subject.codec.context_size:
        raise AtlasError(
            f"A prompt of {len(encoded)} and {new_tokens} new tokens exceed the {subject.codec.context_size} tokens "
            f"that {subject.name} reads. Shorten one of them."
        )
    rows = max(1, batch_tokens // length)
    own, _ = _generate(subject, hookpoint, dictionary, encoded, [Clamp(0, 0.0, 0.0)], 1, massive_norm)
    steered: list[Steered] = []
    for start in range(0, len(clamps), rows):
        part = clamps[start : start + rows]
        first, ids = _generate(subject, hookpoint, dictionary, encoded, part, new_tokens, massive_norm)
        shift = _centred(first, int(own[0].argmax())) - _centred(own[0], int(own[0].argmax()))
        for row, clamp in enumerate(part):
            new, moved = ids[row].tolist(), 0.0 if clamp.strength == 0 else float(shift[row])
            steered.append(Steered(clamp, subject.codec.decode(new), new, moved))
    return steered


def clamp_features(
    dictionary: Dictionary, x: Tensor, read: Tensor, features: Tensor, values: Tensor, changed: Tensor
) -> Tensor:
    """x [b, t, d] with row r's feature `features[r]` at `values[r]`, where both `read` [b, t] and `changed` [b] hold.

    With the error kept this is x + (value − f(x)) · W_dec, feature by feature.
    """
    codes = dictionary.encode(x.float().flatten(0, 1)).unflatten(0, x.shape[:2])
    present = codes.gather(2, features[:, None, None].expand(-1, x.shape[1], 1))[..., 0]
    step = (values[:, None] - present) * (read & changed[:, None])
    return x + (step[..., None] * dictionary.W_dec[features].float()[:, None]).to(x.dtype)


def _generate(
    subject: Subject,
    hookpoint: str,
    dictionary: Dictionary,
    encoded: Encoded,
    clamps: Sequence[Clamp],
    new_tokens: int,
    massive_norm: float,
) -> tuple[Tensor, Tensor]:
    """Logits [b, v] after the prompt and the new tokens' ids [b, new_tokens]."""
    inputs = collate(subject, [encoded] * len(clamps))
    device = inputs["input_ids"].device
    features = torch.tensor([clamp.feature for clamp in clamps], device=device)
    values = torch.tensor([clamp.strength * clamp.maximum for clamp in clamps], device=device)
    changed = torch.tensor([clamp.strength != 0 for clamp in clamps], device=device)
    ordinary = ~torch.from_numpy(encoded.special).to(device)

    def replace(x: Tensor) -> Tensor:
        added = ordinary.new_ones(x.shape[1] - len(ordinary))
        read = torch.cat([ordinary, added]) & (x.float().norm(dim=-1) <= massive_norm)
        return clamp_features(dictionary, x, read, features, values, changed)

    first: Tensor | None = None
    with torch.no_grad(), replaced_output(hook_module(subject, hookpoint), replace):
        for _ in range(new_tokens):
            scores = logits(subject, inputs)[:, -1].float()
            first = scores if first is None else first
            inputs = extended(inputs, scores.argmax(dim=-1))
    if first is None:
        raise AtlasError("A completion needs at least one new token.")
    return first, inputs["input_ids"][:, len(encoded) :]


def _centred(scores: Tensor, token_id: int) -> Tensor:
    return scores[..., token_id] - scores.mean(dim=-1)
