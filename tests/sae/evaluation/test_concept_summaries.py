import polars as pl
import pytest

from sae.evaluation.concept_summaries import concept_summaries
from sae.evaluation.intervals import wilson

CONCEPTS = pl.DataFrame(
    [("s1", "One", "state"), ("s2", "Two", "state"), ("l1", "Bridge", "landmark"), ("l2", "Tower", "landmark")],
    schema=["concept_id", "name", "kind"],
    orient="row",
)


def scores(rows: list[tuple[str, str, float]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["concept_id", "slice", "f1"], orient="row")


def test_kinds_average_and_landmarks_must_hold_in_every_slice():
    frame = scores(
        [
            *[("s1", "all", 1.0), ("s1", "en", 0.0), ("s2", "all", 0.5)],
            *[("l1", name, 0.75) for name in ("all", "en", "es", "image")],
            *[("l2", "all", 0.9), ("l2", "en", 0.8), ("l2", "es", 0.9), ("l2", "image", 0.74)],
        ]
    )
    found = {measure.metric: measure for measure in concept_summaries(frame, CONCEPTS, seed=0)}
    assert set(found) == {"state_f1", "landmark_languages", "landmark_one_feature"}
    assert (found["state_f1"].value, found["state_f1"].n) == (0.75, 2)
    assert found["landmark_languages"].value == 1.0
    assert found["landmark_one_feature"].value == 0.5
    assert found["landmark_one_feature"].interval == wilson(1, 2)
    assert found["landmark_one_feature"].details["by_slice"] == {"en": 2, "es": 2, "image": 1}


def test_a_landmark_never_seen_in_a_language_does_not_hold_there():
    frame = scores(
        [("l1", "en", 1.0), ("l1", "es", 1.0), ("l1", "image", 1.0), ("l2", "en", 1.0), ("l2", "image", 1.0)]
    )
    found = {measure.metric: measure.value for measure in concept_summaries(frame, CONCEPTS, seed=0)}
    assert found == {"landmark_languages": pytest.approx(0.5), "landmark_one_feature": pytest.approx(0.5)}


def test_without_scores_there_is_nothing_to_report():
    empty = scores([]).cast({"concept_id": pl.String, "slice": pl.String, "f1": pl.Float64})
    assert concept_summaries(empty, CONCEPTS, seed=0) == []
