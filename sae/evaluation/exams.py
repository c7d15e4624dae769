"""Exams of a subject: share of the questions whose right answer has the largest logit."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from sae.evaluation.measures import Measure, clustered_share
from sae.models.encoding import Encoded
from sae.models.subject import Subject, collate, logits


@dataclass(frozen=True, eq=False)
class Exercise:
    """A prompt and the first token of its right answer."""

    encoded: Encoded
    answer_id: int
    about: str
    """Whom or what it asks about: other questions about the same are not independent of it."""


def exam(
    metric: str, subject: Subject, exercises: Sequence[Exercise], seed: int, drawn: str, batch_tokens: int = 4096
) -> Measure:
    """Share answered right by the likeliest token after the prompt. The control always gives the commonest answer.

    The interval draws what is asked about, which `drawn` names.
    """
    right: dict[int, bool] = {}
    order = sorted(range(len(exercises)), key=lambda number: len(exercises[number].encoded))
    while order:
        longest = len(exercises[order[-1]].encoded)
        rows = max(1, batch_tokens // longest)
        part, order = order[-rows:], order[:-rows]
        right |= zip(part, _right(subject, [exercises[number] for number in part]), strict=True)
    answers = Counter(exercise.answer_id for exercise in exercises)
    hits, about = [right[number] for number in range(len(exercises))], [exercise.about for exercise in exercises]
    common = {"control": "always the commonest answer"}
    measure = clustered_share(metric, hits, about, "questions", drawn, seed, **common)
    return replace(measure, control=max(answers.values()) / len(exercises) if exercises else None)


def _right(subject: Subject, exercises: list[Exercise]) -> list[bool]:
    with torch.inference_mode():
        scores = logits(subject, collate(subject, [exercise.encoded for exercise in exercises]))
    last = torch.tensor([len(exercise.encoded) - 1 for exercise in exercises], device=scores.device)
    answers = torch.tensor([exercise.answer_id for exercise in exercises], device=scores.device)
    predicted = scores[torch.arange(len(exercises), device=scores.device), last].argmax(dim=-1)
    return (predicted == answers).tolist()
