import numpy as np
import pytest

from sae.world.codec import build_codec
from sae.world.documents import draw_document
from sae.world.facts import concept_id
from sae.world.split import branch_rng, make_world
from sae.world.truth import ExamKind, concepts, questions

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
    asked = {_opening(q.prompt) for q in questions(2, "phrasing") if q.language == "de" and q.relation == "use"}
    told = {_opening(q.prompt) for q in questions(2, "one_hop") if q.language == "de" and q.relation == "use"}
    assert not asked & told
    assert world.held_out_phrasings
    for relation, language, frame in world.held_out_phrasings:
        assert world.told_frames(relation, language) == [1 - frame]
    statements = {(concept_id("relation", r), lang) for r, lang, frame in world.held_out_phrasings if frame == 0}
    for _ in range(2000):
        document = draw_document(world, rng)
        if document.topic == "one_hop" and document.pieces[0].token in ("Fact", "Dato", "Fakt", "事実"):
            assert not statements & {(piece.concept, document.language) for piece in document.pieces}


def test_the_opening_question_is_among_the_held_out_ones():
    prompts = [q for q in questions(0, "composed") if q.subject == "Kobe Bryant" and q.relation == "capital"]
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


def _opening(prompt: str) -> str:
    return prompt[:4]
