"""Detection and fuzzing: can a model tell, by the label alone, where the feature is active? After EleutherAI's delphi.

*Detection*: windows of text in which the feature is active and windows in which it is silent at every token, shuffled,
BATCH in a prompt; the model says of each whether the label holds somewhere in it.
*Fuzzing*: windows with tokens marked, the active ones and those that are silent in their middle. In an active one those
are marked whose activation is at least 0.3 of the window's largest. A silent one gets the marks of an active one drawn
at random, in the same places, or in others drawn at random where there is no token or the feature is active: neither
the number of marks nor how they lie together tells the two apart. The model says of each whether the marked tokens are
what the label names: the label is tested on tokens, not on texts.

Both: score = balanced accuracy, the mean of recall and specificity over the windows answered; 0.5 is what guessing
reaches. Nothing is asked, and there is no score, where a feature has no windows of one of the sorts. At most 50 windows
of each sort (delphi's numbers), all held out, as far as a feature has that many: by default it keeps up to 128
examples, of which about one in two is held out, so that n is about 60, 20 of them silent. delphi draws its active
windows evenly from ten quantiles of activation; ours are what the split holds out of the top, of twelve equal bins and
of random draws.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sae.labels.judges.judge import Batch, Judge, Judged, Score, batched, highlighted, numbers_schema, read_answers
from sae.labels.rule import Confusion

MOST = 50
"""Windows of each sort."""
MARKED_FROM = 0.3
"""Share of a window's largest activation from which a token is marked."""
_ANSWERS = "answers"


class Window(NamedTuple):
    """A window, the places that are marked in it, and whether the feature is active in its middle."""

    tokens: Sequence[str]
    marked: frozenset[int]
    active: bool


def detection_batches(judged: Judged, seed: int) -> list[Batch]:
    """Windows as they stand."""
    # The question is whether the feature is active somewhere in a window: one that is silent in its middle alone would
    # be counted wrong where the answer is right.
    active, silent = _drawn(judged, seed, [example for example in judged.silent if max(example["activations"]) == 0])
    windows = [Window(e["tokens"], frozenset(), e["activation"] > 0) for e in (*active, *silent)]
    return _shuffled(judged, seed, windows)


def fuzzing_batches(judged: Judged, seed: int) -> list[Batch]:
    """Windows with the right or with wrong tokens marked."""
    active, silent = _drawn(judged, seed, judged.silent)
    draws = judged.random(seed)
    right = [Window(example["tokens"], _strong(example), True) for example in active]
    # Places are counted from the middle: where a document ends, windows are cut.
    patterns = [[p - judged.place(e) for p in sorted(w.marked)] for e, w in zip(active, right, strict=True)]
    wrong = [
        Window(example["tokens"], _laid_over(example, judged.place(example), draws.choice(patterns), draws), False)
        for example in silent
    ]
    return _shuffled(judged, seed, right + wrong)


def balanced_accuracy(judged: Judged, answered: Sequence[tuple[Window, int]]) -> Score:
    """Balanced accuracy over the windows answered, with precision, recall and specificity in the details."""
    active = [answer for window, answer in answered if window.active]
    silent = [answer for window, answer in answered if not window.active]
    counts = Confusion(sum(active), sum(silent), len(active), len(silent))
    score = counts.balanced_accuracy if active and silent else None
    return Score(score, len(answered), counts.details())


def _strong(example: Mapping[str, Any]) -> frozenset[int]:
    """Places whose activation is at least MARKED_FROM of the window's largest."""
    least = MARKED_FROM * max(example["activations"])
    return frozenset(place for place, a in enumerate(example["activations"]) if a > 0 and a >= least)


def _laid_over(example: Mapping[str, Any], middle: int, pattern: Sequence[int], draws: random.Random) -> frozenset[int]:
    """As many silent places as the pattern has: its own, counted from the middle, or others in their stead."""
    silent = {place for place, a in enumerate(example["activations"]) if a == 0}
    marked = silent.intersection(middle + offset for offset in pattern)
    others = sorted(silent - marked)
    return frozenset(marked).union(draws.sample(others, min(len(pattern) - len(marked), len(others))))


def _drawn(
    judged: Judged, seed: int, silent: Sequence[Mapping[str, Any]]
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Up to MOST active and silent windows; none at all where there are none of one of the two."""
    if not judged.active or not silent:
        return [], []
    draws = judged.random(seed)
    active, silent = (sorted(e, key=lambda row: row["example_id"]) for e in (judged.active, silent))
    return (
        draws.sample(active, MOST) if len(active) > MOST else active,
        draws.sample(silent, MOST) if len(silent) > MOST else silent,
    )


def _shuffled(judged: Judged, seed: int, windows: list[Window]) -> list[Batch]:
    judged.random(seed + 1).shuffle(windows)
    return batched(windows, lambda window: highlighted(window.tokens, window.marked))


def _classifier(name: str, batches: Any) -> Judge:
    return Judge(
        name=name,
        prompt_version=f"{name}-1",
        schema=numbers_schema(_ANSWERS, 0, 1),
        output_tokens=60,
        batches=batches,
        read=read_answers(_ANSWERS, 0, 1),
        score=balanced_accuracy,
    )


DETECTION = _classifier("detection", detection_batches)
FUZZING = _classifier("fuzzing", fuzzing_batches)
