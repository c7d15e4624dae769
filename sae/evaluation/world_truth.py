"""The demo world's truth: what its model knows, and what a dictionary's features make of it.

Which feature stands for an entity is chosen on the entity's own mentions only (`concepts`), never on these prompts.
"""

import math
from collections.abc import Mapping
from functools import lru_cache
from random import Random

import polars as pl
from torch import Tensor

from sae.causal.answer import Answer
from sae.causal.passes import BATCH_TOKENS
from sae.dictionaries.dictionary import Dictionary
from sae.evaluation.agreement import Asked, attribution_agreement
from sae.evaluation.exams import Exercise, exam
from sae.evaluation.measures import Measure
from sae.evaluation.neighborhoods import neighbors_lift
from sae.evaluation.stand_ins import StandIn
from sae.evaluation.truth import NAMES
from sae.evaluation.world_chains import chain_measures
from sae.evaluation.world_questions import answer_id, encode_question
from sae.evaluation.world_steering import steering_measure
from sae.models.subject import Subject
from sae.threads import threads_for
from sae.world.facts import LANGUAGES, Facts, load_facts
from sae.world.truth import ExamKind, questions

EXAMS: dict[str, ExamKind] = {
    "composed_accuracy": "composed",
    "strict_accuracy": "strict",
    "picture_accuracy": "picture",
    "addition_accuracy": "addition",
}
N_PROMPTS = 96
"""Composed held-out questions on which attribution is held against ablation."""


@lru_cache(maxsize=1)
def exam_measures(subject: Subject, seed: int) -> tuple[Measure, ...]:
    """`composed_accuracy`, `strict_accuracy`, `picture_accuracy` and `addition_accuracy` on what the seed holds out.

    They are the same for each dictionary of a model, so the last model's are kept.
    """
    measures = []
    for metric, kind in EXAMS.items():
        asked = questions(seed, kind)
        exercises = [
            Exercise(encode_question(subject, one), answer_id(subject, one), str(one.subject or one.operands))
            for one in asked
        ]
        measures.append(exam(metric, subject, exercises, seed, "sums" if kind == "addition" else "subjects"))
    return tuple(measures)


def world_measures(
    subject: Subject,
    hookpoint: str,
    dictionary: Dictionary,
    concept_scores: pl.DataFrame,
    stand_ins: Mapping[str, StandIn],
    seed: int,
    massive_norm: float = math.inf,
) -> list[Measure]:
    """The exams, and what the world's facts say of features: neighbourhoods, attribution, chains and steering.

    Attribution is held against ablation over `N_PROMPTS` composed held-out questions drawn by the seed: the right
    answer's logit minus that of another answer to the same relation, as Sacramento minus Albany.
    """
    exams, asked = exam_measures(subject, seed), _prompts(subject, seed)
    with threads_for(subject.n_parameters * BATCH_TOKENS):
        return [
            *exams,
            *neighborhood_measures(dictionary.W_dec, concept_scores, seed),
            attribution_agreement(subject, hookpoint, dictionary, asked, seed, massive_norm=massive_norm),
            *chain_measures(subject, hookpoint, dictionary, stand_ins, seed, massive_norm),
            steering_measure(subject, hookpoint, dictionary, stand_ins, seed, massive_norm),
        ]


def neighborhood_measures(decoder: Tensor, concept_scores: pl.DataFrame, seed: int) -> list[Measure]:
    """`neighbors_state_lift` and `neighbors_city_lift` of decoder rows [d_sae, d], by where entities are."""
    facts = load_facts()
    return [
        neighbors_lift(f"neighbors_{place}_lift", decoder, concept_scores, place_groups(facts, place), seed)
        for place in ("state", "city")
    ]


def world_names() -> pl.DataFrame:
    """Every entity's names (schema `truth.NAMES`), the preferred language of a shared name first."""
    rows = [
        (entity.concept_id, entity.in_language(language), language)
        for language in LANGUAGES
        for entity in load_facts().entities.values()
    ]
    return pl.DataFrame(rows, schema=NAMES, orient="row")


def place_groups(facts: Facts, place: str) -> dict[str, str]:
    """concept_id to the state (or city) where the entity is; a state (city) is its own."""
    groups = {}
    for name, entity in facts.entities.items():
        where = name if entity.kind == place else facts.place(name, place)
        if where is not None:
            groups[entity.concept_id] = where
    return groups


def _prompts(subject: Subject, seed: int) -> list[Asked]:
    asked, rng = questions(seed, "composed"), Random(seed)
    prompts = []
    for question in rng.sample(asked, min(N_PROMPTS, len(asked))):
        alike = {q.answer for q in asked if (q.place, q.relation) == (question.place, question.relation)}
        others = sorted(alike - {question.answer})
        # A relation of which the seed holds out a single answer is asked against the mean logit.
        baseline = (subject.codec.first_token(rng.choice(others)),) if others else None
        asked_for = Answer((answer_id(subject, question),), baseline)
        prompts.append(Asked(encode_question(subject, question), asked_for))
    return prompts
