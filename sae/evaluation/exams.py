"""Exams of a subject: share of the questions whose right answer has the largest logit."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from sae.evaluation.measures import Measure, share
from sae.models.encoding import Encoded
from sae.models.subject import Subject, collate, logits


@dataclass(frozen=True, eq=False)
class Exercise:
    """A prompt and the first token of its right answer."""

    encoded: Encoded
    answer_id: int


def exam(metric: str, subject: Subject, exercises: Sequence[Exercise], batch_tokens: int = 4096) -> Measure:
    """Share answered right by the likeliest token after the prompt. The control always gives the commonest answer."""
    right = 0
    order = sorted(range(len(exercises)), key=lambda number: len(exercises[number].encoded))
    while order:
        longest = len(exercises[order[-1]].encoded)
        rows = max(1, batch_tokens // longest)
        part, order = [exercises[number] for number in order[-rows:]], order[:-rows]
        right += _count_right(subject, part)
    answers = Counter(exercise.answer_id for exercise in exercises)
    measure = share(metric, right, len(exercises), "questions", control="always the commonest answer")
    return replace(measure, control=max(answers.values()) / len(exercises) if exercises else None)


def _count_right(subject: Subject, exercises: list[Exercise]) -> int:
    with torch.inference_mode():
        scores = logits(subject, collate(subject, [exercise.encoded for exercise in exercises]))
    last = torch.tensor([len(exercise.encoded) - 1 for exercise in exercises], device=scores.device)
    answers = torch.tensor([exercise.answer_id for exercise in exercises], device=scores.device)
    predicted = scores[torch.arange(len(exercises), device=scores.device), last].argmax(dim=-1)
    return int((predicted == answers).sum())
