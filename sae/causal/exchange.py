"""Take features out of a prompt and put others in: does the answer follow?

Scaling Monosemanticity, "Features as computational intermediates": features are clamped and the reconstruction error
is kept, so that at each position x becomes x + Σ_put (s_i − f_i(x)) W_dec,i − Σ_out f_i(x) W_dec,i. A feature that is
only taken out everywhere is ablated; one that is only put in everywhere is steered.
"""

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from random import Random

import torch
from torch import Tensor

from sae.causal.many_prompts import changed_prompts
from sae.causal.passes import Changes, Outcomes, PromptPass, changed
from sae.causal.residual import read_positions
from sae.dictionaries.dictionary import Dictionary


@dataclass(frozen=True)
class Exchange:
    """Features to clamp at 0 and features to clamp at a strength."""

    out: frozenset[int] = frozenset()
    """A feature that is also put in stays in."""
    put: Mapping[int, float] = field(default_factory=dict)
    """Feature to the activation that it is held at, in the dictionary's units."""
    positions: tuple[int, ...] | None = None
    """Where; None for every position that the dictionary reads."""


@dataclass(frozen=True, eq=False)
class Exchanged:
    """What b exchanges do to the answer of one prompt."""

    after: Outcomes
    """Of b changes."""
    control: Outcomes
    """The same after changes of the same norm, position by position, along random features."""
    drawn: list[tuple[int, ...]]
    """The random features of each."""


def exchange(
    prompt: PromptPass,
    dictionary: Dictionary,
    exchanges: Sequence[Exchange],
    seed: int,
    massive_norm: float = math.inf,
) -> Exchanged:
    """Make each of b exchanges in a prompt, and read what it answers.

    Positions that the dictionary does not read (special tokens, norms above `massive_norm`) stay as they are. The
    control draws by `seed` as many features as an exchange puts in (takes out, where it puts none in), as far as there
    are enough neither changed nor drawn before, and moves along the sum of their decoder rows.
    """
    changes, drawn = _planned(prompt, dictionary, exchanges, seed, massive_norm)
    return _exchanged(changed(prompt, changes), drawn)


def exchange_in(
    prompts: Sequence[PromptPass],
    dictionary: Dictionary,
    exchanges: Sequence[Sequence[Exchange]],
    seeds: Sequence[int],
    massive_norm: float = math.inf,
) -> list[Exchanged]:
    """The exchanges of each of many prompts, with its own seed, as `exchange` makes those of one."""
    dictionary = dictionary.to(prompts[0].x.device) if prompts else dictionary  # once for all of them
    planned = [
        _planned(prompt, dictionary, own, seed, massive_norm)
        for prompt, own, seed in zip(prompts, exchanges, seeds, strict=True)
    ]
    made = changed_prompts(prompts, [changes for changes, _ in planned])
    return [_exchanged(outcomes, drawn) for outcomes, (_, drawn) in zip(made, planned, strict=True)]


def _planned(
    prompt: PromptPass, dictionary: Dictionary, exchanges: Sequence[Exchange], seed: int, massive_norm: float
) -> tuple[Changes, list[tuple[int, ...]]]:
    """The changes of b exchanges and, after them, of their b controls; and the random features of each."""
    dictionary = dictionary.to(prompt.x.device)
    read = read_positions(prompt.encoded.special, prompt.x, massive_norm).tolist()
    codes = dictionary.encode(prompt.x)
    rng = Random(seed)
    rows, positions, steps, drawn = [], [], [], []
    for number, one in enumerate(exchanges):
        wanted = range(len(prompt.encoded)) if one.positions is None else one.positions
        places = [position for position in wanted if read[position]]
        change = _change(dictionary, codes[places], one)
        taken = {feature for others in drawn for feature in others} | one.out | one.put.keys()
        drawn.append(_drawn(dictionary.d_sae, max(1, len(one.put) or len(one.out)), taken, rng))
        control = change.norm(dim=1, keepdim=True) * _direction(dictionary, drawn[-1])
        for row, step in ((number, change), (len(exchanges) + number, control)):
            rows += [row] * len(places)
            positions += places
            steps.append(step)
    flat = torch.cat(steps) if steps else prompt.x.new_zeros(0, prompt.x.shape[1])
    where = torch.tensor(positions, dtype=torch.int64, device=prompt.x.device)
    return Changes(2 * len(exchanges), torch.tensor(rows, dtype=torch.int64), where, flat), drawn


def _exchanged(made: Outcomes, drawn: list[tuple[int, ...]]) -> Exchanged:
    n = len(drawn)
    return Exchanged(
        Outcomes(made.differences[:n], made.predicted[:n]),
        Outcomes(made.differences[n:], made.predicted[n:]),
        drawn,
    )


def _change(dictionary: Dictionary, codes: Tensor, one: Exchange) -> Tensor:
    """float32 [p, d] for codes [p, d_sae]."""
    features = sorted(one.out | one.put.keys())
    wanted = torch.tensor([one.put.get(feature, 0.0) for feature in features], device=codes.device)
    return (wanted - codes[:, features]) @ dictionary.W_dec[features].float()


def _drawn(d_sae: int, count: int, taken: Set[int], rng: Random) -> tuple[int, ...]:
    found = tuple(rng.sample(range(d_sae), count))
    while len(taken) + count <= d_sae and not taken.isdisjoint(found):
        found = tuple(rng.sample(range(d_sae), count))
    return found


def _direction(dictionary: Dictionary, features: Sequence[int]) -> Tensor:
    rows = dictionary.W_dec[list(features)].float().sum(dim=0)
    return rows / rows.norm().clamp_min(torch.finfo(rows.dtype).tiny)
