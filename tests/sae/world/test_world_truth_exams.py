import numpy as np
import pytest

from sae.world.codec import build_codec
from sae.world.documents import draw_document
from sae.world.facts import concept_id
from sae.world.phrases import RELATION_WORDS
from sae.world.split import branch_rng, make_world
from sae.world.truth import ExamKind, concepts, questions

_STATEMENTS = ("Fact", "Dato", "Fakt", "事実")
KINDS: list[ExamKind] = ["one_hop", "phrasing", "composed", "strict", "picture", "addition"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_question_can_be_read_and_answered(kind: ExamKind):
    codec = build_codec()
    exam = questions(2, kind)
    assert exam
    for question in exam:
        encoded = codec.encode(question.prompt, question.image)
        assert len(encoded) <= codec.context_size
        assert codec.token(codec.first_token(question.answer)) == question.answer


def test_exams_are_drawn_by_seed():
    first, again, other = questions(2, "picture"), questions(2, "picture"), questions(3, "picture")
    assert [q.prompt for q in first] == [q.prompt for q in again]
    assert all((a.image == b.image).all() for a, b in zip(first, again, strict=True) if a.image is not None)
    assert [(q.subject, q.relation) for q in first] != [(q.subject, q.relation) for q in other]


def test_composed_questions_are_held_out_and_their_counterparts_told():
    world = make_world(2)
    asked = {(q.subject, q.place, q.relation) for q in questions(2, "composed")}
    told = {(q.subject, q.place, q.relation) for q in questions(2, "composed", held_out=False)}
    assert asked == world.held_out
    assert not asked & told
    assert {q.subject for q in questions(2, "strict")} == world.strict


def test_held_out_phrasings_are_asked_and_never_told():
    world, rng = make_world(2), branch_rng(2, "training")
    asked = {(q.subject, q.relation, q.language): _is_statement(q.prompt) for q in questions(2, "phrasing")}
    told = {(q.subject, q.relation, q.language): _is_statement(q.prompt) for q in questions(2, "one_hop")}
    assert all(told[key] != statement for key, statement in asked.items())
    assert set(asked.values()) == {True, False}
    owners = {entity.concept_id: name for name, entity in world.facts.entities.items()}
    relations = {concept_id("relation", relation): relation for relation in RELATION_WORDS}
    checked = 0
    for _ in range(3000):
        document = draw_document(world, rng)
        if document.topic == "one_hop":
            concepts_named = [piece.concept for piece in document.pieces if piece.concept]
            subject = next(owners[c] for c in concepts_named if c in owners)
            relation = next(relations[c] for c in concepts_named if c in relations)
            statement = asked.get((subject, relation, document.language))
            assert statement is None or statement != (document.pieces[0].token in _STATEMENTS)
            checked += statement is not None
    assert checked


def test_the_opening_question_is_among_the_strict_ones():
    prompts = [q for q in questions(0, "strict") if q.subject == "Kobe Bryant" and q.relation == "capital"]
    assert {q.language for q in prompts} == {"en", "es", "de", "ja"}
    assert {q.answer for q in prompts} == {"Sacramento"}
    assert all(q.state == "California" and q.city == "Los Angeles" for q in prompts)


def test_sums_come_under_three_names_and_only_unseen_pairs():
    exam = questions(2, "addition")
    assert exam[0].prompt.startswith("def add(a, b):\n    return a + b\n>>> add(")
    assert {q.prompt.split("(")[0] for q in exam} == {"def add", "def f", "def sub"}
    assert not {q.prompt for q in exam} & {q.prompt for q in questions(2, "addition", held_out=False)}


def test_picture_questions_show_a_picture():
    for question in questions(2, "picture"):
        assert question.image is not None
        assert question.image.shape == (24, 24, 3)
        assert question.image.dtype == np.uint8
        assert "<image>" in question.prompt


def test_concepts_are_unique_and_named():
    frame = concepts()
    assert frame["concept_id"].is_unique().all()
    assert {"state", "city", "team", "player", "landmark", "event", "relation", "code"} <= set(frame["kind"])


def _is_statement(prompt: str) -> bool:
    return prompt.startswith(_STATEMENTS)
