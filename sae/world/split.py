"""What the training never sees, by seed: composed facts, the strict players' facts, sums, views of pictures."""

import zlib
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Literal

from sae.world.code import operand_pairs
from sae.world.facts import Facts, Question, load_facts

Branch = Literal["split", "training", "corpus", "exam"]
ALWAYS_HELD_OUT = ("Kobe Bryant", "state", "capital")
"""The question that the catalog opens with is never in the training text, whatever the seed."""
_HELD_OUT = 0.15
_STRICT = 0.25


@dataclass(frozen=True)
class World:
    """The facts and how one seed divides them."""

    seed: int
    facts: Facts
    strict: frozenset[str]
    """Players of whom only the team is ever said."""
    held_out: frozenset[tuple[str, str | None, str | None]]
    """Keys of the composed facts left out of every text."""
    held_out_sums: frozenset[tuple[int, int]]
    """Pairs that are never added."""

    @cached_property
    def one_hop(self) -> list[Question]:
        """The one-hop facts that are told: of a strict player the team alone."""
        return [q for q in self.facts.one_hop if q.subject not in self.strict or q.relation == "team"]

    @cached_property
    def composed(self) -> list[Question]:
        """The composed facts that are told."""
        return [q for q in self.facts.composed if q.subject not in self.strict and q.key not in self.held_out]


def make_world(seed: int) -> World:
    """Read the facts and divide them: 15% of composed facts and sums held out, a quarter of the players strict.

    No team has two strict players, so that each is known by others; the player of ALWAYS_HELD_OUT is not strict.
    """
    facts = load_facts()
    rng = branch_rng(seed, "split")
    players = facts.of_kind("player")
    teams = rng.sample(facts.of_kind("team"), round(_STRICT * len(players)))
    strict = {
        rng.choice([p for p in players if facts.table[p, "team"] == team and p != ALWAYS_HELD_OUT[0]])
        for team in sorted(teams)
    }
    open_questions = [q.key for q in facts.composed if q.subject not in strict]
    held_out = {*rng.sample(open_questions, round(_HELD_OUT * len(open_questions))), ALWAYS_HELD_OUT}
    pairs = operand_pairs("addition")
    sums = rng.sample(pairs, round(_HELD_OUT * len(pairs)))
    return World(seed, facts, frozenset(strict), frozenset(held_out), frozenset(sums))


def branch_rng(seed: int, branch: Branch) -> Random:
    """A generator of its own for each use of a seed."""
    return Random(branch_seed(seed, branch))


def branch_seed(seed: int, branch: Branch) -> int:
    """A seed of its own for each use of a seed."""
    return (seed << 32) + zlib.crc32(branch.encode())
