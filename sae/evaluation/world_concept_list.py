"""The world's places, teams and landmarks as a concept list, for models that read its sentences as plain text.

    python -m sae.evaluation.world_concept_list > orchestration/presets/smollm2-concepts.yaml

A text shows an entity where it names it, in English. Those that do not name another entity of its kind, in the same
frames: what tells them apart is the entity, not the sentence.
"""

import sys
from collections import defaultdict
from random import Random

import polars as pl
import yaml

from sae.world.documents import world_documents
from sae.world.facts import load_facts

KINDS = ("state", "city", "team", "landmark")
TEXTS = 16
"""Positive and negative texts of each entity."""
_SEED, _DOCUMENTS = 0, 40_000


def concept_list() -> dict[str, list[dict[str, object]]]:
    """What the file holds. The same each time; entities with too few sentences are left out."""
    facts, rng = load_facts(), Random(_SEED)
    drawn = world_documents(_SEED, 0, _DOCUMENTS).filter(pl.col("language") == "en", pl.col("modality") == "text")
    naming: defaultdict[str, list[str]] = defaultdict(list)
    for text, mentions in drawn.select("text", "mentions").unique("text", maintain_order=True).iter_rows():
        if not text.isascii():
            continue  # a name in another language, or an accent
        for concept_id in {mention["concept_id"] for mention in mentions}:
            naming[concept_id].append(text)
    concepts = []
    for kind in KINDS:
        entities = [facts.entities[name] for name in facts.of_kind(kind)]
        for entity in entities:
            own = set(naming[entity.concept_id])
            positive = [text for text in naming[entity.concept_id] if entity.name in text]
            others = {text for other in entities if other is not entity for text in naming[other.concept_id]}
            negative = [text for text in sorted(others - own) if entity.name not in text]
            if min(len(positive), len(negative)) >= TEXTS:
                concepts.append(
                    {
                        "name": entity.name,
                        "kind": kind,
                        "positive": rng.sample(positive, TEXTS),
                        "negative": rng.sample(negative, TEXTS),
                    }
                )
    return {"concepts": concepts}


def as_yaml() -> str:
    """The file's text."""
    head = "# Places, teams and landmarks of the demo world, by `python -m sae.evaluation.world_concept_list`.\n"
    return head + yaml.safe_dump(concept_list(), allow_unicode=True, sort_keys=False, width=1000)


if __name__ == "__main__":
    sys.stdout.write(as_yaml())
