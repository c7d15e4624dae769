"""What detection and fuzzing ask about: windows that only who reads them can tell apart."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from sae.labels.judges.classifiers import balanced_accuracy, detection_batches, fuzzing_batches
from sae.labels.judges.judge import Batch, Judged

RADIUS = 12


def _window(number: int, activations: list[float], position: int) -> dict[str, Any]:
    return {
        "example_id": f"{number:016x}",
        "kind": "random" if activations[min(position, RADIUS)] else "out_of_context",
        "position": position,
        "activation": activations[min(position, RADIUS)],
        "tokens": [f" w{place}" for place in range(len(activations))],
        "activations": activations,
    }


def _judged(label: int, rows: Sequence[Mapping[str, Any]]) -> Judged:
    return Judged(str(label), "names of towns", "", 1.0, rows, {})


def _feature(label: int) -> Judged:
    """25 active windows, runs of strong tokens and weak ones, and 25 silent ones, a fifth of them active elsewhere."""
    draws = random.Random(label)
    rows = []
    for number in range(50):
        activations = [0.0] * (2 * RADIUS + 1)
        if number % 2 == 0:
            for place in range(RADIUS - draws.randint(0, 3), RADIUS + 1 + draws.randint(0, 3)):
                activations[place] = draws.uniform(0.5, 1)
            for place in draws.sample(range(RADIUS + 4, 2 * RADIUS + 1), 5):
                activations[place] = 0.1
        elif number % 10 == 9:
            activations[2:5] = [1.0, 0.8, 0.4]
        rows.append(_window(number, activations, 40))
    return _judged(label, rows)


def _blind_score(batches: list[tuple[Judged, list[Batch]]], seen: Any) -> float:
    """The best balanced accuracy of a judge that says yes where a number that it sees lies on one side of a limit."""
    windows = [
        (window, seen(window, text))
        for _, each in batches
        for batch in each
        for window, text in zip(batch.samples, batch.text.splitlines(), strict=True)
    ]
    best = 0.0
    for limit in {number for _, number in windows}:
        score = balanced_accuracy(batches[0][0], [(window, int(number >= limit)) for window, number in windows]).score
        assert score is not None
        best = max(best, score, 1 - score)
    return best


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(lambda window, text: len(window.marked), id="tokens"),
        pytest.param(lambda window, text: text.count("<t>"), id="runs"),
        pytest.param(lambda window, text: RADIUS in window.marked, id="middle"),
    ],
)
def test_who_sees_the_marks_and_not_the_label_is_near_chance_at_fuzzing(seen):
    features = [_feature(label) for label in range(60)]

    score = _blind_score([(judged, fuzzing_batches(judged, 0)) for judged in features], seen)

    # 1,500 windows of each sort: a standard deviation of 0.009, and the best of a few limits is taken.
    assert score == pytest.approx(0.5, abs=0.04)


def test_marks_in_a_silent_window_are_at_silent_tokens_of_it():
    pattern = [0.0] * RADIUS + [1.0] * 4 + [0.0] * 9
    silent = [
        _window(1, [0.0] * 25, 40),
        _window(2, [0.0] * RADIUS + [0.0, 1.0, 1.0, 0.0] + [0.0] * 9, 40),
        _window(3, [0.0] * 4, 1),
        _window(4, [0.0] * 2, 0),
    ]
    judged = _judged(0, [_window(0, pattern, 40), *silent])

    windows = [window for batch in fuzzing_batches(judged, 0) for window in batch.samples if not window.active]

    assert sorted(len(window.marked) for window in windows) == [2, 4, 4, 4]
    by_length = {len(window.tokens): window.marked for window in windows}
    assert by_length[4] == {0, 1, 2, 3}
    of_full = [window.marked for window in windows if len(window.tokens) == 25]
    assert {RADIUS, RADIUS + 1, RADIUS + 2, RADIUS + 3} in of_full
    (moved,) = (marked for marked in of_full if RADIUS + 1 not in marked)
    assert {RADIUS, RADIUS + 3} < moved
    assert RADIUS + 2 not in moved


def test_detection_asks_of_silent_windows_that_are_silent_throughout():
    judged = _feature(0)

    windows = [window for batch in detection_batches(judged, 0) for window in batch.samples]

    assert sum(window.active for window in windows) == 25
    assert sum(not window.active for window in windows) == 20


@pytest.mark.parametrize("ask", [detection_batches, fuzzing_batches])
def test_nothing_is_asked_where_one_sort_of_windows_is_missing(ask):
    active = [row for row in _feature(0).held_out if row["activation"]]
    silent = [row for row in _feature(0).held_out if not row["activation"]]

    assert ask(_judged(0, active), 0) == []
    assert ask(_judged(0, silent), 0) == []


def test_who_is_active_beside_the_middle_of_every_silent_window_has_no_detection():
    rows = [row for row in _feature(0).held_out if row["activation"] or max(row["activations"])]

    assert detection_batches(_judged(0, rows), 0) == []
    assert len(fuzzing_batches(_judged(0, rows), 0)) == 6
