import numpy as np
import polars as pl
import pytest
import torch

from sae.features.map import cluster_frame, feature_map
from sae.features.neighbors import live_directions


@pytest.mark.parametrize("n", [1, 2, 3, 19])
def test_few_features_are_placed_by_principal_components(n):
    directions = live_directions(torch.randn(n, 8, generator=torch.Generator().manual_seed(n)), np.zeros(n, bool), "d")

    places = feature_map(directions, seed=0)

    assert len(places) == n
    assert places.select("x", "y").to_numpy().shape == (n, 2)
    assert np.isfinite(places.select("x", "y").to_numpy()).all()
    assert places["cluster_id"].to_list() == [-1] * n


def test_groups_of_like_features_lie_together_and_the_map_repeats():
    generator = torch.Generator().manual_seed(0)
    centres = torch.eye(16)[:3].repeat_interleave(15, 0)
    vectors = centres + 0.05 * torch.randn(45, 16, generator=generator)
    directions = live_directions(vectors, np.zeros(45, bool), "d")

    places = feature_map(directions, seed=1)

    assert places.equals(feature_map(directions, seed=1))
    clusters = places["cluster_id"].to_numpy().reshape(3, 15)
    members = [set(group[group >= 0].tolist()) for group in clusters]
    assert all(members)
    assert len(set.union(*members)) == sum(len(group) for group in members)


def test_clusters_are_named_by_what_their_members_share():
    places = pl.DataFrame(
        {
            "feature_id": [f"d:{i}" for i in range(7)],
            "dictionary_id": "d",
            "index": pl.Series(range(7), dtype=pl.Int32),
            "x": pl.Series([0, 1, 2, 5, 5, 5, 9], dtype=pl.Float32),
            "y": pl.Series([0.0] * 7, dtype=pl.Float32),
            "cluster_id": pl.Series([0, 0, 0, 1, 1, 1, -1], dtype=pl.Int32),
        }
    )
    names = ["Alcatraz · the", "Alcatraz · the", "Alcatraz", "the", "Lakers · the", "Lakers", "Boston"]
    labels = pl.DataFrame({"feature_id": places["feature_id"], "label": names})

    clusters = cluster_frame(places, labels)

    assert clusters["size"].to_list() == [3, 3]
    assert clusters["x"].to_list() == [1, 5]
    assert [label.split(" · ")[0] for label in clusters["label"]] == ["Alcatraz", "Lakers"]
    assert cluster_frame(places, labels.clear())["label"].to_list() == ["cluster 0", "cluster 1"]
