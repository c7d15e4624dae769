"""A model on a GPU and a dictionary on the CPU: everything that takes both says what it says on the CPU alone.

The world's model, untrained, on a device that `second_device` imitates; with a GPU the same is asked of that.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal
from second_device import on_card, second_device

from sae.causal.answer import Answer
from sae.causal.edges import SitedDictionary, attribution_edges
from sae.causal.exchange import Exchange, exchange, exchange_in
from sae.causal.interventions import intervene
from sae.causal.many_prompts import read_prompts
from sae.causal.passes import read_prompt
from sae.causal.steering import Clamp, steer
from sae.causal.steering_tables import steer_prompts
from sae.causal.tables import explain_prompt
from sae.config import PromptConfig
from sae.dictionaries.dictionary import Dictionary
from sae.dictionaries.loss_recovered import loss_recovered
from sae.evaluation import world_chains, world_steering
from sae.evaluation.agreement import Asked, attribution_agreement
from sae.evaluation.listed_texts import read_texts
from sae.evaluation.neurons import logit_median
from sae.evaluation.planned import planned_swap
from sae.evaluation.stand_ins import StandIn
from sae.evaluation.world_chains import chain_measures
from sae.evaluation.world_questions import answer_id, encode_question
from sae.evaluation.world_steering import steering_measure
from sae.features.logit_weights import logit_weights
from sae.features.neighbors import live_directions
from sae.models.readout import readout
from sae.models.subject import Subject
from sae.threads import one_thread
from sae.world.codec import build_codec
from sae.world.facts import load_facts
from sae.world.loading import world_subject
from sae.world.model import WorldLM, WorldLMConfig
from sae.world.truth import Question, questions

PLACE = "layers.1"
D_MODEL, D_SAE = 16, 40


@cache
def strict() -> list[Question]:
    return questions(0, "strict")


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    # Passes this small lose more to waiting threads than they gain, above all on a busy machine.
    with one_thread():
        yield


@pytest.fixture(scope="module")
def subject() -> Subject:
    codec = build_codec()
    config = WorldLMConfig(vocabulary_size=codec.vocabulary_size, d_model=D_MODEL, n_heads=2)
    return world_subject(WorldLM(config, torch.Generator().manual_seed(0)), codec, "untrained")


@pytest.fixture(params=["imitated", pytest.param("cuda", marks=pytest.mark.gpu)])
def elsewhere(subject: Subject, request: pytest.FixtureRequest) -> Iterator[Subject]:
    """The same model on another device."""
    if request.param == "imitated":
        with second_device():
            yield on_card(subject)
    else:
        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")
        moved = world_subject(
            WorldLM(subject.module.config, torch.Generator().manual_seed(0)),  # type: ignore[arg-type]
            build_codec(),
            "untrained",
        )
        moved.module.to("cuda")
        yield moved


@pytest.fixture
def dictionary() -> Dictionary:
    rows = torch.nn.functional.normalize(torch.randn(D_SAE, D_MODEL, generator=torch.Generator().manual_seed(1)), dim=1)
    zeros = torch.zeros(D_SAE)
    return Dictionary(rows.T.contiguous(), zeros, rows, torch.zeros(D_MODEL), "jumprelu", threshold=zeros)


def explained(subject: Subject, dictionary: Dictionary) -> list[pl.DataFrame]:
    asked = strict()[0]
    prompt = PromptConfig(id="q", model="m", text=asked.prompt, target=asked.answer)
    found = explain_prompt(subject, PLACE, dictionary, "d", prompt, run_id="r", seed=0, max_ablated=5)
    return [found.prompts, found.attribution_runs, found.attributions, found.interventions]


def exchanged(subject: Subject, dictionary: Dictionary) -> list[Any]:
    asked = [(encode_question(subject, q), Answer((answer_id(subject, q),))) for q in strict()[:2]]
    wanted = [Exchange(frozenset({1, 2}), {3: 1.5}), Exchange(put={4: 2.0}, positions=(1, 2))]
    read = read_prompt(subject, PLACE, *asked[0])
    made = [exchange(read, dictionary, wanted, seed=0)]
    made += exchange_in(read_prompts(subject, PLACE, asked), dictionary, [wanted, wanted], [0, 1])
    return [part for one in made for part in (one.after.differences, one.control.predicted, one.drawn)]


def swapped(subject: Subject, dictionary: Dictionary) -> list[Any]:
    asked = strict()[0]
    read = read_prompt(subject, PLACE, encode_question(subject, asked), Answer((answer_id(subject, asked),)))
    planned = planned_swap(read, dictionary, range(8), [9], 2.0, (), {9: 1.0})
    return [planned.exchange.positions, intervene(read, "q", dictionary, "d", [planned], seed=0)]


def edges(subject: Subject, dictionary: Dictionary) -> list[Any]:
    early = SitedDictionary("early", dictionary, PLACE, torch.inf)
    late = replace(early, dictionary_id="late", hookpoint="layers.2")
    encoded = encode_question(subject, strict()[0])
    targets = [(position, feature) for position in (2, 4) for feature in range(6)]
    return [attribution_edges(subject, early, late, encoded, "q", targets)]


def steered(subject: Subject, dictionary: Dictionary) -> list[Any]:
    settings = [(), (Clamp(1, 2.0, 1.0),), (Clamp(1, 2.0, 1.0), Clamp(2, 2.0, 1.0))]
    encoded = subject.codec.encode("Fact :")
    tables = steer_prompts(subject, PLACE, dictionary, "d", ["Fact :"], settings[1:], 3, seed=0)
    return [*steer(subject, PLACE, dictionary, encoded, settings, 3), tables.steering, tables.interventions]


def measured(subject: Subject, dictionary: Dictionary) -> list[Any]:
    asked = [Asked(encode_question(subject, q), Answer((answer_id(subject, q),))) for q in strict()[:3]]
    concepts = [entity.concept_id for entity in load_facts().entities.values()]
    known = {concept: StandIn(number % D_SAE, 1.0, 1.0, 2.0) for number, concept in enumerate(concepts)}
    return [
        attribution_agreement(subject, PLACE, dictionary, asked, seed=0, max_ablated=5),
        *chain_measures(subject, PLACE, dictionary, known, seed=0),
        steering_measure(subject, PLACE, dictionary, dict(list(known.items())[:9]), seed=0),
    ]


def weighed(subject: Subject, dictionary: Dictionary) -> list[Any]:
    directions = live_directions(dictionary.W_dec, np.zeros(D_SAE, bool), "d")
    weights = readout(subject, PLACE)
    return [logit_weights(directions, weights, subject.codec.token), logit_median(directions.vectors, weights)]


def spliced(subject: Subject, dictionary: Dictionary) -> list[Any]:
    texts = [question.prompt for question in strict()[:3]]
    encoded = [subject.codec.encode(text) for text in texts]
    return [
        loss_recovered(subject, PLACE, dictionary, encoded, mean=torch.zeros(D_MODEL)),
        read_texts(subject, PLACE, dictionary, texts).toarray(),
    ]


@pytest.mark.parametrize("asked", [explained, exchanged, swapped, edges, steered, measured, weighed, spliced])
def test_the_answer_is_that_of_the_cpu(
    subject: Subject,
    elsewhere: Subject,
    dictionary: Dictionary,
    asked: Callable[[Subject, Dictionary], list[Any]],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(world_chains, "N_PROMPTS", 4)
    monkeypatch.setattr(world_steering, "NEW_TOKENS", 2)
    monkeypatch.setattr(world_steering, "OPENINGS", ("Fact :",))

    found = asked(elsewhere, dictionary)

    assert elsewhere.device.type == "cuda"
    assert dictionary.W_enc.device.type == "cpu"
    assert len(found) > 0
    for one, other in zip(found, asked(subject, dictionary), strict=True):
        _same(one, other)


def _same(one: Any, other: Any) -> None:
    if isinstance(one, pl.DataFrame):
        assert_frame_equal(one, other, rel_tol=1e-3, abs_tol=1e-4)
    elif isinstance(one, torch.Tensor | np.ndarray):
        torch.testing.assert_close(torch.as_tensor(one), torch.as_tensor(other), rtol=1e-3, atol=1e-4)
    else:
        assert one == other
