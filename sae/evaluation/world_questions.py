"""The world's exam questions as a subject reads them."""

from sae.models.encoding import Encoded
from sae.models.subject import Subject
from sae.world.truth import Question


def encode_question(subject: Subject, question: Question) -> Encoded:
    """The prompt, with its picture where it has one."""
    modality = "image" if question.image is not None else "code" if question.kind == "addition" else "text"
    return subject.codec.encode(question.prompt, question.image, modality)


def answer_id(subject: Subject, question: Question) -> int:
    """The token that answers."""
    return subject.codec.first_token(question.answer)
