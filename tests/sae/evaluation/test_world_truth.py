import numpy as np
import polars as pl
import pytest
import torch

from sae.dictionaries.dictionary import Dictionary
from sae.evaluation import world_chains, world_truth
from sae.evaluation.concepts import CONCEPT_SCORES
from sae.evaluation.exams import Exercise, exam
from sae.evaluation.stand_ins import StandIn
from sae.evaluation.world_steering import related_names
from sae.evaluation.world_truth import exam_measures, place_groups, world_measures, world_names
from sae.models.subject import Subject, collate, logits
from sae.world.codec import build_codec
from sae.world.facts import load_facts
from sae.world.loading import world_subject
from sae.world.model import WorldLM, WorldLMConfig
from sae.world.truth import questions


@pytest.fixture(scope="module")
def untrained() -> Subject:
    codec = build_codec()
    config = WorldLMConfig(vocabulary_size=codec.vocabulary_size, d_model=16, n_heads=2)
    return world_subject(WorldLM(config, torch.Generator().manual_seed(0)), codec, "untrained")


def test_an_exam_counts_right_answers_whatever_the_batches(untrained: Subject):
    asked = questions(0, "strict")[:30]
    encoded = [untrained.codec.encode(question.prompt) for question in asked]
    own = [int(logits(untrained, collate(untrained, [e]))[0, -1].argmax()) for e in encoded]
    answers = [*own[:20], *((answer + 1) % untrained.codec.vocabulary_size for answer in own[20:])]
    exercises = [Exercise(e, answer, str(n // 2)) for n, (e, answer) in enumerate(zip(encoded, answers, strict=True))]
    found = exam("strict_accuracy", untrained, exercises, 0, "subjects", batch_tokens=64)
    assert (found.value, found.n) == (pytest.approx(2 / 3), 30)
    assert found.control == max(np.bincount(answers)) / 30
    assert (found.details["drawn"], found.details["n_drawn"]) == ("subjects", 15)
    assert exam("strict_accuracy", untrained, exercises, 0, "subjects", batch_tokens=10_000) == found
    assert exam("strict_accuracy", untrained, [], 0, "subjects").value is None


def test_an_untrained_model_fails_every_exam(untrained: Subject, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(world_truth, "questions", lambda seed, kind: questions(seed, kind)[:12])
    found = {measure.metric: measure for measure in exam_measures(untrained, seed=0)}
    assert set(found) == {"composed_accuracy", "strict_accuracy", "picture_accuracy", "addition_accuracy"}
    for measure in found.values():
        assert measure.n == 12
        assert measure.value is not None
        assert measure.value <= 0.25
    # 12 questions: three facts of one player in four languages, or four sums under three names.
    drawn = {metric: (measure.details["drawn"], measure.details["n_drawn"]) for metric, measure in found.items()}
    assert drawn["addition_accuracy"] == ("sums", 4)
    assert drawn["strict_accuracy"] == ("subjects", 1)


def test_places_group_what_is_there():
    facts = load_facts()
    states, cities = place_groups(facts, "state"), place_groups(facts, "city")
    assert states["player:kobe-bryant"] == states["city:los-angeles"] == states["state:california"] == "California"
    assert cities["player:kobe-bryant"] == cities["city:los-angeles"] == "Los Angeles"
    assert "state:california" not in cities
    assert len(set(states.values())) == len(facts.of_kind("state"))


def test_names_are_given_in_every_language():
    names = world_names()
    bridge = names.filter(concept_id="landmark:golden-gate-bridge")
    assert bridge["language"].to_list() == ["en", "es", "de", "ja"]
    assert bridge["name"][0] == "Golden Gate Bridge"
    assert bridge["name"].n_unique() > 1


def test_the_features_of_a_random_dictionary_are_measured_like_any(untrained: Subject, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(world_truth, "N_PROMPTS", 3)
    monkeypatch.setattr(world_chains, "N_PROMPTS", 3)
    monkeypatch.setattr(world_truth, "questions", lambda seed, kind: questions(seed, kind)[:12])
    generator = torch.Generator().manual_seed(0)
    decoder = torch.nn.functional.normalize(torch.randn(40, 16, generator=generator), dim=1)
    dictionary = Dictionary(decoder.T.contiguous(), torch.zeros(40), decoder, torch.zeros(16), "standard")
    groups = place_groups(load_facts(), "city")
    rows = [
        (concept, "d", f"d:{index}", index, "all", 1.0, 1.0, 1.0, 5) for index, concept in enumerate(list(groups)[:40])
    ]
    scores = pl.DataFrame(rows, schema=CONCEPT_SCORES, orient="row")
    known = {row[0]: StandIn(row[3], 1.0, own_mention=1.0, maximum=2.0) for row in rows}

    found = {m.metric: m for m in world_measures(untrained, "layers.3", dictionary, scores, known, seed=0)}

    assert found["attribution_ablation_spearman"].n == found["swap_follows"].n == 3
    assert found["neighbors_city_lift"].value is not None
    for metric in ("chain_in_top10", "state_active", "swap_follows", "chain_swap", "steering_about"):
        measure = found[metric]
        assert measure.value is not None
        assert measure.control is not None
        assert 0 <= measure.value <= 1
    assert found["swap_follows_control"].value == found["swap_follows"].control
    for metric in ("chain_in_top10", "state_active", "swap_follows", "chain_swap", "chain_swap_control"):
        assert found[metric].details["drawn"] == "players"
        assert found[metric].details["n_drawn"] <= 3
    entities = len(load_facts().of_kind("landmark", "state"))
    assert found["steering_about"].n == 4 * entities
    assert (found["steering_about"].details["drawn"], found["steering_about"].details["n_drawn"]) == (
        "features",
        entities,
    )


def test_a_completion_is_about_a_state_when_it_names_what_belongs_to_it():
    facts = load_facts()

    state, landmark = related_names(facts, "California"), related_names(facts, "Golden Gate Bridge")

    assert {"Sacramento", "Los Angeles", "Kobe Bryant", "カリフォルニア州"} <= state
    assert {"San Francisco", "California", "Golden Gate Bridge"} <= landmark
    assert not {"Texas", "Austin"} & (state | landmark)
