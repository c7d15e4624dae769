"""Which features a small budget reaches."""

import polars as pl

from sae.labels.priority import by_priority

BAND = (0.001, 0.05)


def _features(*rows):
    columns = ["index", "density", "max_activation", "is_dead"]
    frame = pl.DataFrame([dict(zip(columns, row, strict=True)) for row in rows])
    return frame.with_columns(dictionary_id=pl.lit("d"), feature_id=pl.format("d:{}", "index"))


def test_asked_for_comes_before_stale_before_the_band_before_strength():
    features = _features(
        (0, 0.01, 9.0, False),
        (1, 0.5, 10.0, False),
        (2, 0.01, 8.0, False),
        (3, 0.5, 1.0, False),
        (4, 1e-6, 0.5, False),
    )

    order = by_priority(features, asked_for={"d:4"}, stale={"d:3"}, band=BAND)

    assert order == ["d:4", "d:3", "d:0", "d:2", "d:1"]


def test_dead_features_are_left_out_even_when_asked_for_and_ties_go_by_index():
    features = _features((2, 0.01, 1.0, False), (1, 0.01, 1.0, False), (0, 0.01, 1.0, True))

    assert by_priority(features, asked_for={"d:0"}, stale=set(), band=BAND) == ["d:1", "d:2"]


def test_the_band_includes_its_ends():
    features = _features((0, 0.0009, 5.0, False), (1, 0.001, 1.0, False), (2, 0.05, 2.0, False), (3, 0.06, 9.0, False))

    assert by_priority(features, asked_for=(), stale=(), band=BAND) == ["d:2", "d:1", "d:3", "d:0"]
