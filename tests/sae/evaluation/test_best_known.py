import polars as pl

from sae.evaluation.best_known import best_known

FEATURES = pl.DataFrame(
    {
        "feature_id": [f"d:{index}" for index in range(6)],
        "dictionary_id": "d",
        "index": range(6),
        "density": [0.1, 0.2, 0.3, 0.4, 0.0, 0.05],
        "is_dead": [False, False, False, False, True, False],
    }
)
CONCEPT_SCORES = pl.DataFrame(
    [
        ("a", "d:0", "all", 0.8, 10),
        ("b", "d:0", "all", 0.9, 5),
        ("c", "d:1", "all", 0.9, 50),
        ("c", "d:1", "es", 1.0, 3),
        ("e", "d:2", "all", 0.49, 90),
        ("f", "d:4", "all", 1.0, 9),
    ],
    schema=["concept_id", "feature_id", "slice", "f1", "n"],
    orient="row",
)
LABELS = pl.DataFrame(
    [("l2", "d:2", "two"), ("l3", "d:3", "three")], schema=["label_id", "feature_id", "label"], orient="row"
)
LABEL_SCORES = pl.DataFrame([("l2", 0.9), ("l3", 1.0), ("l3", 0.6)], schema=["label_id", "score"], orient="row")


def test_concepts_come_first_then_scored_labels_then_density_and_the_dead_never():
    best = best_known(FEATURES, CONCEPT_SCORES, LABELS, LABEL_SCORES, count=10)
    assert best["feature_id"].to_list() == ["d:1", "d:0", "d:2", "d:3", "d:5"]
    assert best["basis"].to_list() == ["concept", "concept", "label", "label", "density"]
    assert best["concept_id"].to_list() == ["c", "b", None, None, None]
    assert best["label"].to_list() == [None, None, "two", "three", None]
    assert best["label_score"].to_list()[2:4] == [0.9, 0.8]


def test_the_count_limits_the_rows_and_empty_tables_leave_density():
    best = best_known(FEATURES, CONCEPT_SCORES.clear(), LABELS.clear(), LABEL_SCORES.clear(), count=2)
    assert best["feature_id"].to_list() == ["d:3", "d:2"]
