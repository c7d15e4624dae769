"""The Golden Gate Claude claim: turned up to five times its maximum, a feature makes the model talk about its concept.

Scaling Monosemanticity, "Influence on behavior". The features are those that stand for a landmark or a state.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

from sae.causal.steering import Clamp, Steered, steer
from sae.dictionaries.dictionary import Dictionary
from sae.evaluation.measures import Measure, clustered_share
from sae.evaluation.stand_ins import StandIn
from sae.models.subject import Subject
from sae.world.facts import Facts, load_facts

STRENGTH = 5.0
NEW_TOKENS = 12
OPENINGS = ("Fact :", "Dato :", "Fakt :", "事実 ：")
"""How a sentence begins in each language: what comes next is the model's choice."""
KINDS = ("landmark", "state")


def steering_measure(
    subject: Subject,
    hookpoint: str,
    dictionary: Dictionary,
    stand_ins: Mapping[str, StandIn],
    seed: int,
    massive_norm: float = math.inf,
) -> Measure:
    """`steering_about`: share of the completions of `OPENINGS` that are about the steered landmark or state.

    A completion of `NEW_TOKENS` tokens is about an entity when it holds one of its names or one of `related_names`.
    The control is the same share of the unsteered completions. An entity without a feature counts as a failure. The
    interval draws features, for the completions that one steers are not independent of one another; an entity without
    one is drawn by itself.
    """
    dictionary, facts = dictionary.to(subject.device), load_facts()
    entities = [facts.entities[name] for name in facts.of_kind(*KINDS)]
    found = [stand_ins.get(entity.concept_id) for entity in entities]
    clamps = [(Clamp(one.index, STRENGTH, one.maximum),) for one in found if one]
    about = {entity.name: related_names(facts, entity.name) for entity in entities}
    known = [entity.name for entity, one in zip(entities, found, strict=True) if one]
    steered_by = {entity.name: one.index if one else entity.name for entity, one in zip(entities, found, strict=True)}
    hits: list[bool] = []
    of: list[int | str] = []
    controls = 0
    for opening in OPENINGS:
        encoded = subject.codec.encode(opening)
        unsteered, *steered = steer(subject, hookpoint, dictionary, encoded, [(), *clamps], NEW_TOKENS, massive_norm)
        completed = dict(zip(known, steered, strict=True))
        hits += [name in completed and _holds(subject, completed[name], names) for name, names in about.items()]
        of += [steered_by[name] for name in about]
        controls += sum(_holds(subject, unsteered, names) for names in about.values())
    how = {"strength": STRENGTH, "new_tokens": NEW_TOKENS, "control": "unsteered"}
    measure = clustered_share("steering_about", hits, of, "completions", "features", seed, **how)
    return replace(measure, control=controls / len(hits))


def related_names(facts: Facts, name: str) -> set[str]:
    """The names, in all languages, of an entity and of what says where it is.

    Of a landmark: its city and state. Of a state: all that lies in it, and what its relations (capital, governor,
    flower …) point to.
    """
    related = {name}
    if facts.entities[name].kind == "state":
        related |= {other for other in facts.entities if facts.place(other, "state") == name}
        related |= {value for (subject, _), value in facts.table.items() if subject == name}
    else:
        related |= set(facts.chain(name))
    return {called for one in related & facts.entities.keys() for called in facts.entities[one].names}


def _holds(subject: Subject, steered: Steered, names: set[str]) -> bool:
    return any(subject.codec.token(token_id) in names for token_id in steered.token_ids)
