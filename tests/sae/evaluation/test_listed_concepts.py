"""A concept list against a dictionary made by hand."""

import json

import numpy as np
import polars as pl
import pytest
import torch
from scipy.sparse import csr_array
from tiny_models import D_MODEL, tiny_subject

from sae.catalog.frames import conform
from sae.catalog.schema import TABLES
from sae.config.concept_list import ListedConcept
from sae.dictionaries.dictionary import Dictionary
from sae.evaluation import listed_concepts as module
from sae.evaluation.listed_concepts import Occurrences, count_occurrences, evaluate_listed, listed_measures
from sae.evaluation.listed_texts import listed_texts, listed_truth, read_texts
from sae.evaluation.measures import evaluation_frame
from sae.evaluation.truth import ALL


def _concept(name: str, n: int = 6, kind: str = "place") -> ListedConcept:
    return ListedConcept(
        name=name,
        kind=kind,
        positive=tuple(f"{name} {i}" for i in range(n)),
        negative=tuple(f"not {name} {i}" for i in range(n)),
    )


def test_each_half_has_half_of_each_concepts_texts():
    concepts = [_concept("a"), _concept("b", 5)]

    truth = listed_truth(concepts, seed=0)

    halves = dict(zip(listed_texts(concepts), truth.choosing, strict=True))
    for concept in concepts:
        for texts in (concept.positive, concept.negative):
            chosen = sum(halves[text] for text in texts)
            assert chosen in (len(texts) // 2, -(-len(texts) // 2))
    assert (listed_truth(concepts, seed=0).choosing == truth.choosing).all()
    assert (listed_truth(concepts, seed=1).choosing != truth.choosing).any()


def test_what_a_concept_does_not_list_says_nothing_about_it():
    one = ListedConcept(name="a", kind="place", positive=("x", "y"), negative=("z", "u"))
    other = ListedConcept(name="b", kind="place", positive=("z", "v"), negative=("x", "w"))

    truth = listed_truth([one, other], seed=0)

    assert listed_texts([one, other]) == ["x", "y", "z", "u", "v", "w"]
    naming = truth.naming.toarray()
    assert naming[0].tolist() == [True, True, False, False, True, True]
    assert naming[1].tolist() == [False, True, True, True, True, False]
    assert set(truth.mention_slice) == {ALL}


def _planted(concepts):
    """Feature c is active on the positive texts of concept c; another one everywhere; the last nowhere."""
    texts = listed_texts(concepts)
    codes = np.zeros((len(texts), len(concepts) + 2), np.float32)
    for c, concept in enumerate(concepts):
        codes[[texts.index(text) for text in concept.positive], c] = 2.0
    codes[:, len(concepts)] = 1.0
    return csr_array(codes)


def _measures(concepts, codes, occurrences):
    scores = module._scores(concepts, codes, "d", 0)
    found = listed_measures(concepts, codes, np.eye(codes.shape[1]), scores, occurrences, 4, seed=0)
    return scores, {measure.metric: measure for measure in found}


def test_a_dictionary_that_holds_every_concept_and_one_that_holds_none():
    concepts = [_concept("a", 12), _concept("b", 12, kind="team")]
    occurrences = Occurrences({"listed:place:a": 0, "listed:team:b": 30}, n_tokens=1_000_000)

    scores, found = _measures(concepts, _planted(concepts), occurrences)

    assert scores.select("concept_id", "index", "slice", "f1", "n").rows() == [
        ("listed:place:a", 0, "all", 1.0, 6),
        ("listed:team:b", 1, "all", 1.0, 6),
    ]
    assert found["concept_f1"].value == 1
    assert found["concept_f1"].control is not None
    assert found["concept_f1"].control < 0.8
    assert found["concept_f1"].details["by_kind"] == {"place": 1.0, "team": 1.0}
    complete = found["concept_completeness"]
    assert (complete.value, complete.n) == (1, 2)
    assert complete.details["by_frequency"] == [
        {"from": None, "n": 1, "share": 1.0},
        {"from": 10.0, "n": 1, "share": 1.0},
    ]
    assert complete.details["one_per_feature"] == 250_000
    assert found["concept_specificity"].value == 1
    assert found["concept_absorption"].value == 0
    assert found["concept_splitting"].value == 1
    nothing = csr_array(np.ones((len(listed_texts(concepts)), 1), np.float32))
    _, none = _measures(concepts, nothing, occurrences)
    assert none["concept_f1"].value == pytest.approx(2 / 3)  # it fires on every text: precision 1/2, recall 1
    assert none["concept_completeness"].value == 0
    json.dumps([measure.details for measure in found.values()])


def test_the_control_shuffles_every_concept_by_itself():
    concepts = [_concept(f"concept {number}", 8) for number in range(20)]

    drawn = [_drawn(concept, 0) for concept in concepts]

    assert drawn == [_drawn(concept, 0) for concept in concepts]
    assert drawn != [_drawn(concept, 1) for concept in concepts]
    assert len(set(drawn)) == len(concepts)  # of 12870 draws of 8 from 16
    # Half of the positive texts are true ones; a draw's standard deviation is 1.03 of 8, so 0.23 over 20 concepts.
    true = [sum(not text.startswith("not") for text in texts) for texts in drawn]
    assert sum(true) / len(true) == pytest.approx(4, abs=0.7)


def _drawn(concept: ListedConcept, seed: int) -> tuple[str, ...]:
    """The shuffled positive texts without the concept's name."""
    return tuple(text.replace(concept.name, "") for text in module._shuffled(concept, seed).positive)


def test_names_are_counted_as_they_are_written():
    concepts = [
        ListedConcept(name="New York", kind="p", names=("NYC",), positive=("a", "b"), negative=("c", "d")),
        ListedConcept(name="a.b", kind="p", positive=("a", "b"), negative=("c", "d")),
    ]

    found = count_occurrences(concepts, [pl.Series(["New York, NYC", "new york aXb"]), pl.Series(["NYC a.b"])], 1000)

    assert found.counts == {"listed:p:new-york": 3, "listed:p:a-b": 1}
    assert found.per_million("listed:p:new-york") == 3000


def test_a_model_reads_the_texts_and_the_rows_fit_the_catalog(tmp_path):
    d = D_MODEL
    generator = torch.Generator().manual_seed(0)
    decoder = torch.nn.functional.normalize(torch.randn(40, d, generator=generator), dim=1)
    dictionary = Dictionary(decoder.T.contiguous(), torch.zeros(40), decoder, torch.zeros(d), "standard")
    concepts = [_concept("the capital", 4), _concept("a function", 4)]

    occurrences = Occurrences({concept.concept_id: 1 for concept in concepts}, 100)
    subject = tiny_subject("llama", tmp_path)

    found = evaluate_listed(concepts, subject, "layers.0", dictionary, "d", occurrences, 40, seed=0)

    whole = read_texts(subject, "layers.0", dictionary, listed_texts(concepts))
    alone = read_texts(subject, "layers.0", dictionary, [concepts[1].positive[2]])
    row = listed_texts(concepts).index(concepts[1].positive[2])
    np.testing.assert_allclose(whole[[row]].toarray(), alone.toarray(), atol=1e-4)
    assert (whole.toarray() > 0).any(axis=1).all()
    assert found.concepts["kind"].to_list() == ["place", "place"]
    assert found.concept_scores["slice"].unique().to_list() == ["all"]
    assert conform(TABLES["concept_scores"], found.concept_scores).height == 2
    assert evaluation_frame("d", found.measures, 0)["metric"].to_list() == [
        "concept_absorption",
        "concept_completeness",
        "concept_f1",
        "concept_specificity",
        "concept_splitting",
    ]
