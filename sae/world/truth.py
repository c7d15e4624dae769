"""What is true in the world: its concepts, and exams of what the training never showed."""

from dataclasses import dataclass
from itertools import takewhile
from random import Random
from typing import Literal

import numpy as np
import polars as pl

from sae.corpora.documents import IMAGE_MARK
from sae.world.code import ERRORS, OPERATIONS, Program, operand_pairs, program_pieces
from sae.world.facts import LANGUAGES, Fact, concept_id, load_facts
from sae.world.phrases import RELATION_WORDS, SPORT_WORDS
from sae.world.pictures import APPEARANCES, draw_view
from sae.world.split import World, branch_rng, branch_seed, make_world
from sae.world.text import Piece, Subject, composed_sentence, direct_sentence, draw_name, render

ExamKind = Literal["one_hop", "phrasing", "composed", "strict", "picture", "addition"]
_NAMES = ("add", "f", "sub")


@dataclass(frozen=True)
class Question:
    """A prompt and the one token that answers it."""

    kind: ExamKind
    prompt: str
    answer: str
    """A name as the vocabulary has it."""
    language: str
    subject: str | None = None
    """Canonical name of the entity asked about; None in sums."""
    name: str | None = None
    """What the prompt calls it; `<image>` where a picture stands for it."""
    relation: str | None = None
    place: str | None = None
    """`state` or `city` where the question goes through it."""
    city: str | None = None
    state: str | None = None
    """Canonical names of the places where the subject is."""
    operands: tuple[int, int] | None = None
    """The numbers that a sum adds."""
    image: np.ndarray | None = None
    """uint8 [24, 24, 3]: a view that no text of the seed holds."""


def concepts() -> pl.DataFrame:
    """Every concept that a document may mention: concept_id, name, kind. The same for all seeds."""
    rows = [(entity.concept_id, entity.name, entity.kind) for entity in load_facts().entities.values()]
    rows += [(concept_id("relation", name), words[0], "relation") for name, words in RELATION_WORDS.items()]
    rows += [(concept_id("sport", name), name, "sport") for name in SPORT_WORDS]
    rows += [(f"code:{name}", name.replace("_", " "), "code") for name in (*OPERATIONS, *ERRORS)]
    return pl.DataFrame(rows, schema=["concept_id", "name", "kind"], orient="row")


def questions(seed: int, kind: ExamKind, held_out: bool = True) -> list[Question]:
    """One exam, in all four languages, each name in a language drawn by the seed.

    `one_hop`: every fact that is told. `phrasing`: the same in words that no text uses for it. `composed`: facts of
    a place, asked through what is there, which no text has combined. `strict`: the same of players of whom only the
    team is told. `picture`: held-out composed facts of landmarks, asked of fresh views. `addition`: sums of pairs that
    are never added, under the right, a neutral and a misleading name. With `held_out=False` those that the training
    shows, of `composed`, `picture` and `addition`.
    """
    world, rng = make_world(seed), branch_rng(seed, "exam")
    if kind == "addition":
        pairs = [pair for pair in operand_pairs("addition") if (pair in world.held_out_sums) == held_out]
        return [_sum(pair, name) for pair in pairs for name in _NAMES]
    views = np.random.default_rng(branch_seed(seed, "exam"))
    return [
        _ask(world, fact, kind, language, rng, views)
        for fact in _asked(world, kind, held_out)
        for language in LANGUAGES
        if kind != "phrasing" or len(world.told_frames(fact, language)) == 1
    ]


def _asked(world: World, kind: ExamKind, held_out: bool) -> list[Fact]:
    if kind in ("one_hop", "phrasing"):
        return world.one_hop
    if kind == "strict":
        return [fact for fact in world.facts.composed if fact.subject in world.strict]
    facts = [f for f in world.facts.composed if f.key in world.held_out] if held_out else world.composed
    return facts if kind == "composed" else [fact for fact in facts if fact.subject in APPEARANCES]


def _ask(world: World, fact: Fact, kind: ExamKind, language: str, rng: Random, views: np.random.Generator) -> Question:
    facts = world.facts
    entity = facts.entities[fact.subject]
    name = IMAGE_MARK if kind == "picture" else draw_name(entity, language, rng)
    subject = Subject(Piece(name, entity.concept_id))
    if fact.place is None:
        told = world.told_frames(fact, language)
        frame = 1 - told[0] if kind == "phrasing" else rng.choice(told)
        pieces = direct_sentence(facts, fact, language, frame, subject)
    else:
        pieces = composed_sentence(facts, fact, language, subject, aside=False)
    return Question(
        kind=kind,
        prompt=_before_answer(pieces, language),
        answer=fact.answer,
        language=language,
        subject=fact.subject,
        name=name,
        relation=fact.relation,
        place=fact.place,
        city=facts.place(fact.subject, "city"),
        state=facts.place(fact.subject, "state"),
        image=draw_view(fact.subject, views) if kind == "picture" else None,
    )


def _sum(pair: tuple[int, int], name: str) -> Question:
    pieces = program_pieces(Program("addition", name, (pair,)))
    return Question(
        "addition", _before_answer(pieces, "py"), pieces[-1].token, "py", relation="addition", operands=pair
    )


def _before_answer(pieces: list[Piece], language: str) -> str:
    # Without an apposition or an aside the answer alone weighs 1.
    return render(list(takewhile(lambda piece: piece.weight < 1, pieces)), language)[0]
