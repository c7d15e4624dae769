"""Specificity: how cleanly the places where a feature is active are what its label says, at each level of activity.

The rubric of Scaling Monosemanticity ("Assessing feature interpretability", specificity), put to a model: 0 the label
is irrelevant; 1 it is related to the context, not near the marked tokens, or vaguely; 2 it is loosely related to
them; 3 it cleanly identifies them. Judged are the held-out active examples, the token at the position marked.

score = the mean grade over 3, so that 1 is best; n the examples graded. details: `mean_grade` (0 to 3) and
`by_level`, the mean grade at each level of activity, 1 to 10 (tenths of the feature's maximum): a specific feature
stays high where it is weak.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sae.labels.judges.judge import (
    Batch,
    Judge,
    Judged,
    Score,
    batched,
    highlighted,
    mean,
    numbers_schema,
    read_answers,
    tenth,
)

_GRADES, BEST = "grades", 3


class Graded(NamedTuple):
    """An active example."""

    tokens: Sequence[str]
    place: int
    level: int
    """Tenth of the feature's maximum, 1 to 10."""


def specificity_batches(judged: Judged, seed: int) -> list[Batch]:
    """All active held-out examples, shuffled, so that a prompt does not hold strong ones alone."""
    samples = [Graded(e["tokens"], judged.place(e), 1 + tenth(e["activation"], judged.largest)) for e in judged.active]
    judged.random(seed).shuffle(samples)
    return batched(samples, lambda sample: highlighted(sample.tokens, {sample.place}))


def mean_grades(judged: Judged, answered: Sequence[tuple[Graded, int]]) -> Score:
    """The mean grade, over all and by level."""
    grades = mean([grade for _, grade in answered])
    levels = sorted({sample.level for sample, _ in answered})
    by_level: dict[str, Any] = {}
    for level in levels:
        here = [grade for sample, grade in answered if sample.level == level]
        by_level[str(level)] = {"mean": round(mean(here) or 0.0, 4), "n": len(here)}
    details = {"mean_grade": None if grades is None else round(grades, 4), "by_level": by_level}
    return Score(None if grades is None else grades / BEST, len(answered), details)


SPECIFICITY = Judge(
    name="specificity",
    prompt_version="specificity-1",
    schema=numbers_schema(_GRADES, 0, BEST),
    output_tokens=60,
    batches=specificity_batches,
    read=read_answers(_GRADES, 0, BEST),
    score=mean_grades,
)
