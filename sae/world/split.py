"""What the training never sees, by seed: composed facts, strict players' facts, phrasings, sums, views of pictures."""

import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Literal

from sae.world.code import operand_pairs
from sae.world.facts import LANGUAGES, Fact, Facts, load_facts

Branch = Literal["split", "training", "corpus", "exam"]
ALWAYS_STRICT = "Kobe Bryant"
"""The player whom the catalog's first question is about: whatever the seed, only the team is ever told."""
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
    held_out_phrasings: frozenset[tuple[str, str | None, str, int]]
    """(subject, relation, language, frame): a one-hop fact is never told so."""
    held_out_sums: frozenset[tuple[int, int]]
    """Pairs that are never added."""

    @cached_property
    def one_hop(self) -> list[Fact]:
        """The one-hop facts that are told: of a strict player the team alone."""
        return [q for q in self.facts.one_hop if q.subject not in self.strict or q.relation == "team"]

    def told_frames(self, fact: Fact, language: str) -> list[int]:
        """The frames, 0 or 1, in which a one-hop fact is told in a language."""
        asked = (fact.subject, fact.relation, language)
        return [frame for frame in (0, 1) if (*asked, frame) not in self.held_out_phrasings]

    @cached_property
    def composed(self) -> list[Fact]:
        """The composed facts that are told."""
        return [q for q in self.facts.composed if q.subject not in self.strict and q.key not in self.held_out]

    @cached_property
    def composed_by_question(self) -> dict[bool, list[Fact]]:
        """The composed facts that are told: under True those that ask for the place itself."""
        return {located: [q for q in self.composed if (q.relation is None) == located] for located in (False, True)}

    @cached_property
    def one_hop_of(self) -> Mapping[str, list[Fact]]:
        """The one-hop facts that are told of each subject."""
        return _by_subject(self.one_hop)

    @cached_property
    def composed_of(self) -> Mapping[str, list[Fact]]:
        """The composed facts that are told of each subject."""
        return _by_subject(self.composed)


def make_world(seed: int) -> World:
    """Read the facts and divide them: 15% of composed facts and of sums held out, a quarter of the players strict.

    Of 15% of the one-hop facts in a language one of the two phrasings is held out.
    No team has two strict players, so that each is known by others.
    """
    facts = load_facts()
    rng = branch_rng(seed, "split")
    players = facts.of_kind("player")
    own_team = facts.table[ALWAYS_STRICT, "team"]
    others = rng.sample([t for t in facts.of_kind("team") if t != own_team], round(_STRICT * len(players)) - 1)
    strict = {rng.choice([p for p in players if facts.table[p, "team"] == team]) for team in sorted(others)}
    strict.add(ALWAYS_STRICT)
    open_keys = [q.key for q in facts.composed if q.subject not in strict]
    held_out = rng.sample(open_keys, round(_HELD_OUT * len(open_keys)))
    wordings = [(q.subject, q.relation, language) for q in facts.one_hop for language in LANGUAGES]
    phrasings = [(*w, rng.randrange(2)) for w in rng.sample(wordings, round(_HELD_OUT * len(wordings)))]
    pairs = operand_pairs("addition")
    sums = rng.sample(pairs, round(_HELD_OUT * len(pairs)))
    return World(seed, facts, frozenset(strict), frozenset(held_out), frozenset(phrasings), frozenset(sums))


def _by_subject(facts: Sequence[Fact]) -> Mapping[str, list[Fact]]:
    found: defaultdict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        found[fact.subject].append(fact)
    return found


def branch_rng(seed: int, branch: Branch) -> Random:
    """A generator of its own for each use of a seed."""
    return Random(branch_seed(seed, branch))


def branch_seed(seed: int, branch: Branch) -> int:
    """A seed of its own for each use of a seed."""
    return (seed << 32) + zlib.crc32(branch.encode())
