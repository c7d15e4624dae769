"""The list that the SmolLM2 preset names."""

from pathlib import Path

import sae
from sae.config.concept_list import read_concept_list
from sae.evaluation.world_concept_list import KINDS, TEXTS

FILE = Path(sae.__file__).parents[1] / "orchestration/presets/smollm2-concepts.yaml"


def test_every_text_names_its_entity_or_does_not():
    concepts = read_concept_list(FILE).concepts

    assert {concept.kind for concept in concepts} == set(KINDS)
    for concept in concepts:
        assert len(concept.positive) == len(concept.negative) == TEXTS
        assert all(concept.name in text for text in concept.positive)
        assert not any(concept.name in text for text in concept.negative)
