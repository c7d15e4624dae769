"""Take features out of a prompt and put others in: does the answer follow?

Scaling Monosemanticity, "Features as computational intermediates": features are clamped and the reconstruction error
is kept, so that at each position x becomes x + Σ_put (s_i − f_i(x)) W_dec,i − Σ_out f_i(x) W_dec,i.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from sae.causal.ablation import patched_logits
from sae.causal.residual import read_positions
from sae.dictionaries.dictionary import Dictionary
from sae.models.encoding import Encoded
from sae.models.hookpoints import read_outputs
from sae.models.subject import Subject, collate


@dataclass(frozen=True)
class Exchange:
    """Features to clamp at 0 and features to clamp at a strength."""

    out: frozenset[int]
    """A feature that is also put in stays in."""
    put: dict[int, float]
    """Feature to the activation that it is held at, in the dictionary's units."""


@dataclass(frozen=True, eq=False)
class Exchanged:
    """What b exchanges do to the answer of one prompt."""

    before: Tensor
    """float [v]: logits at the last position of the prompt as it is."""
    after: Tensor
    """float [b, v]."""
    control: Tensor
    """float [b, v]: the same after changes of the same norm, position by position, along random features."""


def exchange(
    subject: Subject,
    hookpoint: str,
    dictionary: Dictionary,
    encoded: Encoded,
    exchanges: Sequence[Exchange],
    positions: Sequence[int],
    seed: int,
    massive_norm: float = math.inf,
) -> Exchanged:
    """Make each of b exchanges at some positions of one prompt, and read the logits at its last one.

    Positions that the dictionary does not read (special tokens, norms above `massive_norm`) stay as they are. The
    control draws by `seed` as many features as an exchange puts in, and moves along the sum of their decoder rows.
    """
    x = read_outputs(subject, collate(subject, [encoded]), [hookpoint])[hookpoint][0].float()
    read = read_positions(encoded.special, x, massive_norm)
    places = [position for position in positions if read[position]]
    codes = dictionary.encode(x[places])
    changes = torch.zeros(2 * len(exchanges), *x.shape, device=x.device)
    rng = Random(seed)
    for number, one in enumerate(exchanges):
        change = _change(dictionary, codes, one)
        random_row = _random_direction(dictionary, len(one.put), rng)
        changes[number, places] = change
        changes[len(exchanges) + number, places] = change.norm(dim=1, keepdim=True) * random_row
    whole = patched_logits(subject, hookpoint, encoded, torch.cat([torch.zeros_like(changes[:1]), changes])).float()
    after, control = whole[1:].chunk(2)
    return Exchanged(whole[0], after, control)


def _change(dictionary: Dictionary, codes: Tensor, one: Exchange) -> Tensor:
    """float32 [p, d] for codes [p, d_sae]."""
    wanted = torch.zeros_like(codes)
    changed = torch.zeros(codes.shape[1], dtype=torch.bool, device=codes.device)
    for feature in one.out:
        changed[feature] = True
    for feature, strength in one.put.items():
        changed[feature] = True
        wanted[:, feature] = strength
    return ((wanted - codes) * changed) @ dictionary.W_dec.float()


def _random_direction(dictionary: Dictionary, count: int, rng: Random) -> Tensor:
    rows = dictionary.W_dec[rng.sample(range(dictionary.d_sae), max(1, count))].float().sum(dim=0)
    return rows / rows.norm().clamp_min(torch.finfo(rows.dtype).tiny)
