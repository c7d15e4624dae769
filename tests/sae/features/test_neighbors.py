import numpy as np
import polars as pl
import pytest
import torch
import torch.nn.functional as F

from sae.features.families import families
from sae.features.neighbors import live_directions, neighbors_across, neighbors_within


def _unit(n, d, seed):
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_only_live_features_have_and_are_neighbours():
    dead = np.zeros(30, bool)
    dead[[3, 7]] = True
    directions = live_directions(_unit(30, 8, 0) * 3, dead, "d")

    frame, _ = neighbors_within(directions, size=5)

    assert frame.columns == ["feature_id", "dictionary_id", "index", "rank", "neighbor_id", "similarity", "scope"]
    assert len(frame) == 28 * 5
    assert not set(frame["neighbor_id"]) & {"d:3", "d:7"}
    assert not frame.filter(pl.col("feature_id") == pl.col("neighbor_id")).height
    assert frame["similarity"].max() <= 1.0001  # type: ignore[operator]
    assert frame.group_by("feature_id").agg(pl.col("similarity").sort_by("rank").diff().max())["similarity"].max() <= 0  # type: ignore[operator]


def test_one_live_feature_has_no_neighbours():
    assert len(neighbors_within(live_directions(_unit(1, 8, 0), np.zeros(1, bool), "d"))[0]) == 0


def test_neighbours_across_dictionaries():
    vectors = _unit(20, 8, 0)
    small = live_directions(vectors[:5], np.zeros(5, bool), "small")
    large = live_directions(vectors, np.zeros(20, bool), "large")

    frame = neighbors_across(small, [large], size=3)

    first = frame.filter(pl.col("rank") == 1)
    assert first["neighbor_id"].to_list() == [f"large:{i}" for i in range(5)]
    assert first["similarity"].to_list() == pytest.approx([1.0] * 5)
    assert frame["scope"].unique().to_list() == ["cross"]


def test_children_stand_under_their_nearest_parent():
    parents = torch.eye(8)[:3]
    children = torch.stack([parents[0] + 0.1 * parents[1], parents[0] - 0.1 * parents[2], parents[2], torch.eye(8)[6]])
    small = live_directions(parents, np.zeros(3, bool), "small")
    large = live_directions(children, np.zeros(4, bool), "large")

    frame = families(small, large)

    assert frame.select("parent_feature_id", "child_feature_id").rows() == [
        ("small:0", "large:0"),
        ("small:0", "large:1"),
        ("small:2", "large:2"),
    ]


def test_an_empty_dictionary_has_no_family():
    none = live_directions(torch.eye(3), np.ones(3, bool), "small")

    assert len(families(none, live_directions(torch.eye(3), np.zeros(3, bool), "large"))) == 0


def test_neighbours_in_several_dictionaries_are_ranked_together():
    one, near, far = (
        live_directions(torch.tensor(rows), np.zeros(len(rows), dtype=bool), name)
        for name, rows in (
            ("one", [[1.0, 0.0], [0.0, 1.0]]),
            ("near", [[1.0, 0.1], [0.1, 1.0]]),
            ("far", [[1.0, 0.5], [0.5, 1.0]]),
        )
    )

    frame = neighbors_across(one, [far, near], size=1)

    assert frame.select("feature_id", "rank", "neighbor_id").rows() == [
        ("one:0", 1, "near:0"),
        ("one:0", 2, "far:0"),
        ("one:1", 1, "near:1"),
        ("one:1", 2, "far:1"),
    ]
