"""Turn features up and let the model speak: clamp them at every position, keep the error, decode greedily.

Scaling Monosemanticity, "Influence on behavior": a feature is set to a multiple of its maximal activation over the
data set, everywhere, and the reconstruction error is put back. A strength of 0 means no intervention at all: the
completion that the others are compared with.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sae.causal.kept import can_go_on
from sae.dictionaries.dictionary import Dictionary
from sae.errors import AtlasError
from sae.models.encoding import Encoded
from sae.models.hookpoints import hook_module, replaced_output
from sae.models.subject import Subject, collate, extended, logits_of


@dataclass(frozen=True)
class Clamp:
    """One feature held at `strength` times `maximum`, its largest activation over the data set."""

    feature: int
    strength: float
    maximum: float


@dataclass(frozen=True)
class Steered:
    """What the model wrote under some clamps."""

    clamps: tuple[Clamp, ...]
    completion: str
    """The new tokens as text, without the prompt."""
    token_ids: list[int]
    """The new tokens."""
    logit_shift: float
    """Change of the logit, taken against the mean logit, of the token that the model by itself puts first after the
    prompt: negative where steering drives it away from its own continuation, 0 where nothing is clamped."""


def steer(
    subject: Subject,
    hookpoint: str,
    dictionary: Dictionary,
    encoded: Encoded,
    settings: Sequence[Sequence[Clamp]],
    new_tokens: int,
    massive_norm: float = math.inf,
    batch_tokens: int = 1024,
) -> list[Steered]:
    """Continue one prompt, with its picture where it has one, greedily by `new_tokens` tokens under each setting.

    A setting holds several features at once; an empty one is the model by itself. Clamped are all positions, those of
    pictures and of the completion too, except special tokens and massive activations (norm above `massive_norm`),
    which dictionaries do not read. Raises AtlasError where prompt and completion exceed the context, where a setting
    clamps a feature twice, and of a model that predicts no next token.
    """
    if not subject.predicts_next:
        raise AtlasError(f"{subject.name} predicts no next token: it goes on from no text, steered or not.")
    length = len(encoded) + new_tokens
    if length > subject.codec.context_size:
        raise AtlasError(
            f"A prompt of {len(encoded)} and {new_tokens} new tokens exceed the {subject.codec.context_size} tokens "
            f"that {subject.name} reads. Shorten one of them."
        )
    if any(len({clamp.feature for clamp in setting}) < len(setting) for setting in settings):
        raise AtlasError("One feature cannot be held at two strengths at once: name each feature once.")
    dictionary = dictionary.to(subject.device)
    rows = max(1, batch_tokens // length)
    own, _ = _generate(subject, hookpoint, dictionary, encoded, [()], 1, massive_norm)
    steered: list[Steered] = []
    for start in range(0, len(settings), rows):
        part = [tuple(clamp for clamp in setting if clamp.strength) for setting in settings[start : start + rows]]
        first, ids = _generate(subject, hookpoint, dictionary, encoded, part, new_tokens, massive_norm)
        shift = _centred(first, int(own[0].argmax())) - _centred(own[0], int(own[0].argmax()))
        for row, clamps in enumerate(part):
            new, moved = ids[row].tolist(), float(shift[row]) if clamps else 0.0
            steered.append(Steered(tuple(settings[start + row]), subject.codec.decode(new), new, moved))
    return steered


def clamp_features(dictionary: Dictionary, x: Tensor, read: Tensor, values: Tensor, held: Tensor) -> Tensor:
    """x [b, t, d] with the features that row r holds, `held` bool [b, F], at `values` [b, F] wherever `read` [b, t].

    `values` and `held` are of the features 0 to F − 1, F = d_sae. With the error kept this is
    x + Σ_i (value_i − f_i(x)) · W_dec,i.
    """
    used = held.any(dim=0).nonzero()[:, 0]
    codes = dictionary.encode(x.float().flatten(0, 1)).unflatten(0, x.shape[:2])[..., used]
    step = (values[:, None, used] - codes) * (read[..., None] & held[:, None, used])
    return x + (step @ dictionary.W_dec[used].float()).to(x.dtype)


def _generate(
    subject: Subject,
    hookpoint: str,
    dictionary: Dictionary,
    encoded: Encoded,
    settings: Sequence[Sequence[Clamp]],
    new_tokens: int,
    massive_norm: float,
) -> tuple[Tensor, Tensor]:
    """Logits [b, v] after the prompt and the new tokens' ids [b, new_tokens]."""
    inputs = collate(subject, [encoded] * len(settings))
    device = inputs["input_ids"].device
    values = torch.zeros(len(settings), dictionary.d_sae, device=device)
    held = torch.zeros_like(values, dtype=torch.bool)
    for row, setting in enumerate(settings):
        for clamp in setting:
            values[row, clamp.feature], held[row, clamp.feature] = clamp.strength * clamp.maximum, True
    special = torch.from_numpy(encoded.special).to(device)
    ordinary = torch.cat([~special, special.new_ones(new_tokens)])
    goes_on, seen = can_go_on(subject, encoded), 0

    def replace(x: Tensor) -> Tensor:
        read = ordinary[seen : seen + x.shape[1]] & (x.float().norm(dim=-1) <= massive_norm)
        return clamp_features(dictionary, x, read, values, held)

    first: Tensor | None = None
    more: dict[str, Any] = {"use_cache": True} if goes_on else {}
    with torch.no_grad(), replaced_output(hook_module(subject, hookpoint), replace):
        for _ in range(new_tokens):
            output = subject.module(**inputs | more | {"input_ids": inputs["input_ids"][:, seen:]})
            scores = logits_of(subject, output)[:, -1].float()
            first = scores if first is None else first
            if goes_on and (cache := getattr(output, "cache", None)) is not None:
                more, seen = {"use_cache": True, "cache": cache}, inputs["input_ids"].shape[1]
            inputs = extended(inputs, scores.argmax(dim=-1))
    if first is None:
        raise AtlasError("A completion needs at least one new token.")
    return first, inputs["input_ids"][:, len(encoded) :]


def _centred(scores: Tensor, token_id: int) -> Tensor:
    return scores[..., token_id] - scores.mean(dim=-1)
