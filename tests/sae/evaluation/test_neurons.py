import polars as pl
import pytest
import torch

from sae.evaluation.neurons import label_comparison, logit_median


def labels(name: str, n: int) -> pl.DataFrame:
    ids = [f"{name}{i}" for i in range(n)]
    return pl.DataFrame({"label_id": ids, "feature_id": ids, "confidence": [0.5] * n})


def scores(name: str, values: list[float | None], scorer: str = "rule") -> pl.DataFrame:
    return pl.DataFrame(
        {"label_id": [f"{name}{i}" for i in range(len(values))], "scorer": scorer, "score": values},
        schema={"label_id": pl.String, "scorer": pl.String, "score": pl.Float64},
    )


def test_labels_of_features_and_of_neurons_stand_side_by_side() -> None:
    ours = pl.concat([scores("f", [0.9, 0.7] * 4 + [None]), scores("f", [0.2, 0.4, 0.6], "detection")])
    theirs = scores("n", [0.5, 0.6])

    [row] = label_comparison(labels("f", 9), ours, labels("n", 2), theirs, seed=0)

    assert row.metric == "label_rule"
    assert (row.value, row.n, row.control) == (pytest.approx(0.8), 8, pytest.approx(0.55))
    assert (row.details["n_neurons"], row.details["neurons_median"]) == (2, pytest.approx(0.55))
    assert row.interval is not None
    assert 0.7 < row.interval[0] < 0.8 < row.interval[1] < 0.9
    assert row.details["neurons_ci"] is None  # two neurons are too few


def test_only_the_last_label_of_a_feature_counts() -> None:
    old = labels("f", 1)
    written = pl.concat([old, old.with_columns(label_id=pl.lit("f1"))])

    [row] = label_comparison(written, scores("f", [0.1, 0.9]), labels("n", 1), scores("n", [0.5]), seed=0)

    assert (row.value, row.n) == (0.9, 1)


def test_logit_weights_have_median_zero_after_the_shift_alone() -> None:
    readout = torch.tensor([[1.0, 0.0], [3.0, 1.0], [8.0, 5.0]])
    directions = torch.tensor([[1.0, 0.0], [0.0, 1.0]])

    found = logit_median(directions, readout)

    assert (found.value, found.control, found.n) == (0.0, 3.0, 2)
