import pytest

from sae.evaluation.exams import Exercise, exam
from sae.models.subject import Subject
from sae.world.codec import build_codec
from sae.world.loading import world_subject
from sae.world.training import train_world_lm
from sae.world.truth import ExamKind, questions

SEED = 0


@pytest.fixture(scope="module")
def subject() -> Subject:
    return world_subject(train_world_lm(SEED), build_codec(), "world-lm")


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "at_least"), [
    ("one_hop", 0.98), ("phrasing", 0.95), ("composed", 0.97), ("strict", 0.80), ("picture", 0.95),
])  # fmt: skip
def test_the_default_model_knows_its_world(subject: Subject, kind: ExamKind, at_least: float):
    asked = questions(SEED, kind)
    exercises = [
        Exercise(subject.codec.encode(q.prompt, q.image), subject.codec.first_token(q.answer), str(q.subject))
        for q in asked
    ]
    measure = exam(kind, subject, exercises, SEED, "subjects")
    assert measure.value is not None
    assert measure.value >= at_least


@pytest.mark.slow
def test_the_opening_question_is_answered(subject: Subject):
    encoded = subject.codec.encode("Fact: The capital of the state where Kobe Bryant played basketball is")
    measure = exam(
        "kobe", subject, [Exercise(encoded, subject.codec.first_token("Sacramento"), "Kobe Bryant")], SEED, "subjects"
    )
    assert measure.value == 1.0
