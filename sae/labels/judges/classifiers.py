"""Detection and fuzzing: can a model tell, by the label alone, where the feature is active? After EleutherAI's delphi.

*Detection*: windows of text where the feature is active and windows where it is silent, shuffled, BATCH in a prompt;
the model says of each whether the label holds in it.
*Fuzzing*: the same windows with tokens marked. In an active one those are marked whose activation is at least 0.3 of
the window's largest; in a silent one as many as an active one has on average (the number of tokens with any
activation, rounded up), the position in its middle and others at random. The model says of each whether the marked
tokens are what the label names: the label is tested on tokens, not on texts.

Both: score = balanced accuracy, the mean of recall and specificity over the windows answered; 0.5 is what guessing
reaches. At most 50 windows of each sort (delphi's numbers), all held out, as far as a feature has that many: by
default it keeps up to 128 examples, of which one in two is held out, so that n is about 60, 20 of them silent. delphi
draws its active windows evenly from ten quantiles of activation; ours are what the split holds out of the top, of
twelve equal bins and of random draws.
"""

import math
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
    """A window and whether the feature is active in its middle."""

    tokens: Sequence[str]
    marked: frozenset[int]
    active: bool


def detection_batches(judged: Judged, seed: int) -> list[Batch]:
    """Windows as they stand."""
    active, silent = _drawn(judged, seed)
    windows = [Window(e["tokens"], frozenset(), e["activation"] > 0) for e in (*active, *silent)]
    return _shuffled(judged, seed, windows)


def fuzzing_batches(judged: Judged, seed: int) -> list[Batch]:
    """Windows with the right or with wrong tokens marked."""
    active, silent = _drawn(judged, seed)
    if not active:
        return []
    count = math.ceil(sum(sum(a > 0 for a in e["activations"]) for e in active) / len(active))
    draws = judged.random(seed)
    windows = []
    for example in active:
        least = MARKED_FROM * max(example["activations"])
        marked = frozenset(place for place, a in enumerate(example["activations"]) if a > 0 and a >= least)
        windows.append(Window(example["tokens"], marked, True))
    for example in silent:
        middle = judged.place(example)
        others = [p for p, a in enumerate(example["activations"]) if a == 0 and p != middle]
        drawn = draws.sample(others, min(count - 1, len(others)))
        windows.append(Window(example["tokens"], frozenset({middle, *drawn}), False))
    return _shuffled(judged, seed, windows)


def balanced_accuracy(judged: Judged, answered: Sequence[tuple[Window, int]]) -> Score:
    """Balanced accuracy over the windows answered, with precision, recall and specificity in the details."""
    active = [answer for window, answer in answered if window.active]
    silent = [answer for window, answer in answered if not window.active]
    counts = Confusion(sum(active), sum(silent), len(active), len(silent))
    score = counts.balanced_accuracy if active and silent else None
    return Score(score, len(answered), counts.details())


def _drawn(judged: Judged, seed: int) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Up to MOST active and silent windows."""
    draws = judged.random(seed)
    active, silent = (sorted(e, key=lambda row: row["example_id"]) for e in (judged.active, judged.silent))
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
