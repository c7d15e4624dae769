"""The world's documents: sentences in four languages, pictures, programs, drawn from a stated mixture."""

from dataclasses import dataclass
from random import Random

import numpy as np
import polars as pl

from sae.corpora.documents import DOCUMENTS, IMAGE_MARK, document_id
from sae.world.code import draw_program, program_pieces
from sae.world.facts import LANGUAGES, Fact
from sae.world.pictures import APPEARANCES, draw_view, to_png
from sae.world.split import World, branch_rng, branch_seed, make_world
from sae.world.text import (
    Piece,
    Subject,
    alias_apposition,
    alias_sentence,
    chain_apposition,
    composed_sentence,
    direct_sentence,
    draw_aside,
    draw_name,
    render,
)

MIXTURE = {"one_hop": 0.26, "composed": 0.31, "landmark": 0.05, "picture": 0.23, "code": 0.06, "alias": 0.09}
"""Landmarks stand in the text by name about as often as in pictures: where a picture has four positions to one of a
name, and more documents, a dictionary gives it a feature of its own."""
_LOCATED = 0.25
_LANDMARK_ONE_HOP = 0.5
_APPOSITION = {"text": 0.3, "picture": 0.7}
_ALIAS = {"landmark": 0.9}
_ALIAS_ELSE = 0.5
_ALIAS_OF_LANDMARK = 0.5
"""Share of the alias documents that are about a landmark: those have most names, and pictures beside them."""


@dataclass(frozen=True)
class Document:
    """A drawn document. `picture` names the landmark of its picture, whose view is drawn by whoever needs it."""

    pieces: tuple[Piece, ...]
    language: str
    topic: str
    picture: str | None = None

    @property
    def modality(self) -> str:
        """`image` for a document with a picture, else `code` or `text`."""
        return "image" if self.picture else "code" if self.topic == "code" else "text"


def draw_document(world: World, rng: Random) -> Document:
    """Draw one document from MIXTURE; it tells nothing that the world's seed holds out."""
    topic = rng.choices(tuple(MIXTURE), tuple(MIXTURE.values()))[0]
    if topic == "code":
        return Document(tuple(program_pieces(draw_program(rng, world.held_out_sums))), "py", topic)
    language = rng.choice(LANGUAGES)
    if topic == "alias":
        return _alias_document(world, language, rng)
    if topic in ("landmark", "picture"):
        name = rng.choice(tuple(APPEARANCES))
        shown = name if topic == "picture" else None
        subject = (picture_subject if shown else named_subject)(world, name, language, rng)
        told = world.one_hop_of if rng.random() < _LANDMARK_ONE_HOP else world.composed_of
        fact = _draw_fact_of(told[name], rng)
        return Document(_sentence(world, fact, language, subject, rng), language, topic, shown)
    told = world.one_hop if topic == "one_hop" else world.composed_by_question[rng.random() < _LOCATED]
    fact = rng.choice(told)
    subject = named_subject(world, fact.subject, language, rng)
    return Document(_sentence(world, fact, language, subject, rng), language, topic)


def named_subject(world: World, name: str, language: str, rng: Random) -> Subject:
    """An entity by one of its names, sometimes with an apposition."""
    entity = world.facts.entities[name]
    used = draw_name(entity, language, rng)
    piece = Piece(used, entity.concept_id)
    if rng.random() >= _APPOSITION["text"]:
        return Subject(piece)
    if rng.random() < _ALIAS.get(entity.kind, _ALIAS_ELSE):
        return Subject(piece, alias_apposition(entity, used, language, rng))
    chain = world.facts.chain(name)
    return Subject(piece, chain_apposition(world.facts, chain[:1] if name in world.strict else chain, language))


def picture_subject(world: World, name: str, language: str, rng: Random) -> Subject:
    """A landmark by its picture, sometimes with its name in apposition."""
    entity = world.facts.entities[name]
    piece = Piece(IMAGE_MARK, entity.concept_id)
    named = rng.random() < _APPOSITION["picture"]
    return Subject(piece, alias_apposition(entity, IMAGE_MARK, language, rng) if named else ())


def world_documents(seed: int, shard_index: int, n_documents: int, corpus: str = "world") -> pl.DataFrame:
    """One shard of the world's corpus: `n_documents` rows of `sae.corpora.documents.DOCUMENTS` with their mentions.

    The shards of a seed are consecutive pieces of one stream without repeats, drawn apart from the training text.
    """
    world = make_world(seed)
    rng = branch_rng(seed, "corpus")
    drawn: dict[tuple[Piece, ...] | int, Document] = {}
    while len(drawn) < (shard_index + 1) * n_documents:
        document = draw_document(world, rng)
        # Pictures are fresh views, so that their documents are never the same.
        drawn.setdefault(len(drawn) if document.picture else document.pieces, document)
    views = np.random.default_rng([branch_seed(seed, "corpus"), shard_index])
    shard = f"{corpus}-{shard_index:05d}"
    documents = list(drawn.values())[shard_index * n_documents :]
    return pl.DataFrame([_row(document, corpus, shard, views) for document in documents], schema=DOCUMENTS)


def _row(document: Document, corpus: str, shard: str, views: np.random.Generator) -> dict[str, object]:
    text, spans = render(document.pieces, document.language)
    image = to_png(draw_view(document.picture, views)) if document.picture else None
    mentions = [
        {"concept_id": piece.concept, "start": start, "end": end}
        for piece, (start, end) in zip(document.pieces, spans, strict=True)
        if piece.concept is not None
    ]
    return {
        "document_id": document_id(corpus, text, image),
        "corpus": corpus,
        "shard": shard,
        "language": document.language,
        "modality": document.modality,
        "text": text,
        "image": image,
        "source": "world",
        "topic": document.topic,
        "split": "train",
        "mentions": mentions,
    }


def _alias_document(world: World, language: str, rng: Random) -> Document:
    landmark = rng.random() < _ALIAS_OF_LANDMARK
    entity = rng.choice(world.facts.aliased_landmarks if landmark else world.facts.aliased)
    used, other = rng.sample(list(dict.fromkeys(entity.names)), 2)
    pieces = alias_sentence(world.facts, entity.name, language, Subject(Piece(used, entity.concept_id)), other)
    return Document(tuple(pieces), language, "alias")


def _sentence(world: World, fact: Fact, language: str, subject: Subject, rng: Random) -> tuple[Piece, ...]:
    if fact.place is None:
        frame = rng.choice(world.told_frames(fact, language))
        return tuple(direct_sentence(world.facts, fact, language, frame, subject))
    aside = fact.relation is not None and draw_aside(rng)
    return tuple(composed_sentence(world.facts, fact, language, subject, aside))


def _draw_fact_of(told: list[Fact], rng: Random) -> Fact:
    """One of what is told of a subject; of composed ones a quarter asks for the place itself."""
    if told[0].place is not None:
        located = rng.random() < _LOCATED
        told = [q for q in told if (q.relation is None) == located] or told
    return rng.choice(told)
