"""The Kobe Bryant claim: between a player and the state's capital the model passes through team, city and state.

Asked are the strict prompts about the state of players of whom only the team was ever told: "the flower of the state
where X played basketball is". Which feature stands for a team, a city or a state is decided by their own mentions.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

import torch

from sae.causal.answer import Answer
from sae.causal.attribution import attribute
from sae.causal.exchange import Exchange, exchange_in
from sae.causal.many_prompts import read_prompts
from sae.causal.passes import PromptPass
from sae.dictionaries.dictionary import Dictionary
from sae.evaluation.measures import Measure, clustered_share
from sae.evaluation.stand_ins import StandIn
from sae.evaluation.world_questions import answer_id, encode_question
from sae.models.encoding import Encoded
from sae.models.subject import Subject
from sae.world.facts import Facts, load_facts
from sae.world.truth import Question, questions

N_PROMPTS = 480
"""Of all strict questions about a state that there are, at most."""
TOP = 10
CHAIN = ("team", "city", "state")
CHAIN_STRENGTH = 2.0
"""Multiple of the own-mention strength at which a whole chain is put in."""
CONTROLS = {
    "chain_in_top10": "a third chain",
    "state_active": "the other state",
    "swap_follows": "a random feature, as far",
    "chain_swap": "random features, as far",
}
"""What each measure's control is."""


@dataclass(frozen=True, eq=False)
class _Prompt:
    """A question with the chain that it runs through and another that it could have run through."""

    question: Question
    encoded: Encoded
    target_id: int
    chain: Mapping[str, str]
    """Concept ids by kind."""
    other: Mapping[str, str]
    """Those of a team in another state, which answers otherwise."""
    other_id: int
    """The token with which the other state answers."""
    third: Mapping[str, str]
    """Those of a team in yet another state, of which the question asks nothing."""


def chain_measures(
    subject: Subject,
    hookpoint: str,
    dictionary: Dictionary,
    stand_ins: Mapping[str, StandIn],
    seed: int,
    massive_norm: float = math.inf,
) -> list[Measure]:
    """`chain_in_top10`, `state_active`, `swap_follows`, `chain_swap`, and the controls of the last two as rows.

    - `chain_in_top10`: prompts in which the feature of the team, city or state is among the `TOP` features by
      attribution (the answer's logit minus the other state's answer's), summed over positions; one whose sum is not
      above 0 is not among them. Control: the features of a third chain. Those of the other chain would say nothing:
      what stands for the other answer counts against the difference by the question itself.
    - `state_active`: prompts in which the state's own feature is active at any position. Control: the other state's.
    - `swap_follows`: prompts whose likeliest token becomes the other state's answer when the state's feature is taken
      out and the other's put in at its own-mention strength, at the subject, the position after it, and the last one.
      Control: a change of the same norm along a random feature.
    - `chain_swap`: the same with team, city and state together, at `CHAIN_STRENGTH` times their strength.
    Prompts whose entities have no feature count as failures. Intervals draw players: what a model knows of one decides
    all prompts about him.
    """
    dictionary = dictionary.to(subject.device)
    asked = _prompts(subject, seed)
    noted: dict[str, list[tuple[bool, bool]]] = {name: [] for name in CONTROLS}
    chains = [tuple(_present(chain, stand_ins) for chain in (one.chain, one.other, one.third)) for one in asked]
    answers = [(prompt.encoded, Answer((prompt.target_id,), (prompt.other_id,))) for prompt in asked]
    passes = read_prompts(subject, hookpoint, answers)
    swaps = [
        [_swap(own, other, ("state",), 1.0, places), _swap(own, other, CHAIN, CHAIN_STRENGTH, places)]
        for (own, other, _), places in zip(chains, map(_places, asked), strict=True)
    ]
    made = exchange_in(passes, dictionary, swaps, range(seed, seed + len(asked)), massive_norm)
    for number, (prompt, read, (own, other, third)) in enumerate(zip(asked, passes, chains, strict=True)):
        top = _top_features(read, dictionary, massive_norm)
        noted["chain_in_top10"].append((bool(top & _indices(own)), bool(top & _indices(third))))
        active = _active_features(read, dictionary)
        own_state, other_state = (bool(active & _indices(chain, ("state",))) for chain in (own, other))
        noted["state_active"].append((own_state, other_state))
        for row, name in enumerate(("swap_follows", "chain_swap")):
            outcomes = (made[number].after, made[number].control)
            follows, by_chance = (int(outcome.predicted[row]) == prompt.other_id for outcome in outcomes)
            is_put = bool(swaps[number][row].put)
            noted[name].append((is_put and follows, is_put and by_chance))
    players = [prompt.question.subject for prompt in asked]
    measures = []
    for name, outcomes in noted.items():
        hits, controls = ([outcome[side] for outcome in outcomes] for side in (0, 1))
        measure = clustered_share(name, hits, players, "prompts", "players", seed, control=CONTROLS[name])
        control = clustered_share(f"{name}_control", controls, players, "prompts", "players", seed)
        measures.append(replace(measure, control=control.value))
        if name in ("swap_follows", "chain_swap"):
            measures.append(control)
    return measures


def _prompts(subject: Subject, seed: int) -> list[_Prompt]:
    facts, rng, thirds = load_facts(), Random(seed), Random(f"{seed}|third chain")
    asked = [q for q in questions(seed, "strict") if q.place == "state" and q.relation is not None]
    return [_prompt(subject, facts, q, rng, thirds) for q in rng.sample(asked, min(N_PROMPTS, len(asked)))]


def _prompt(subject: Subject, facts: Facts, question: Question, rng: Random, thirds: Random) -> _Prompt:
    def answer_of(team: str) -> str:
        return facts.table[facts.place(team, "state") or "", question.relation or ""]

    own, teams = facts.table[question.subject or "", "team"], facts.of_kind("team")
    other = rng.choice([team for team in teams if answer_of(team) != question.answer])
    taken = {facts.place(team, "state") for team in (own, other)}
    third = thirds.choice([team for team in teams if facts.place(team, "state") not in taken])
    return _Prompt(
        question,
        encode_question(subject, question),
        answer_id(subject, question),
        _chain(facts, own),
        _chain(facts, other),
        subject.codec.first_token(answer_of(other)),
        _chain(facts, third),
    )


def _chain(facts: Facts, team: str) -> dict[str, str]:
    return {facts.entities[name].kind: facts.entities[name].concept_id for name in (team, *facts.chain(team))}


def _present(chain: Mapping[str, str], stand_ins: Mapping[str, StandIn]) -> dict[str, StandIn]:
    return {kind: stand_ins[concept] for kind, concept in chain.items() if concept in stand_ins}


def _indices(chain: Mapping[str, StandIn], kinds: Sequence[str] = CHAIN) -> set[int]:
    return {chain[kind].index for kind in kinds if kind in chain}


def _swap(
    own: Mapping[str, StandIn],
    other: Mapping[str, StandIn],
    kinds: Sequence[str],
    times: float,
    places: tuple[int, ...],
) -> Exchange:
    put = {other[kind].index: times * other[kind].own_mention for kind in kinds if kind in other}
    return Exchange(frozenset(_indices(own, kinds)), put, places)


def _places(prompt: _Prompt) -> tuple[int, ...]:
    name = prompt.encoded.tokens.index(prompt.question.name or "")
    last = len(prompt.encoded) - 1
    return tuple(sorted({name, min(name + 1, last), last}))


def _top_features(read: PromptPass, dictionary: Dictionary, massive_norm: float) -> set[int]:
    found = attribute(read, dictionary, massive_norm)
    total = found.attributions.new_zeros(dictionary.d_sae).index_add_(0, found.features, found.attributions)
    top = torch.topk(total, min(TOP, len(total)))
    return set(top.indices[top.values > 0].tolist())  # the rest speaks against the answer, or is not active at all


def _active_features(read: PromptPass, dictionary: Dictionary) -> set[int]:
    codes = dictionary.encode(read.x[torch.from_numpy(~read.encoded.special).to(read.x.device)])
    return set((codes > 0).any(dim=0).nonzero()[:, 0].tolist())
