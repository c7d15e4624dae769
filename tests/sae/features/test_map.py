import numpy as np
import polars as pl
import pytest
import torch
from scipy.sparse import csr_array

from sae.errors import AtlasError
from sae.features.cluster_names import cluster_frame
from sae.features.map import FEWEST, feature_map
from sae.features.map_start import START, aligned, carried_places, filled_in, kept_numbers
from sae.features.neighbors import live_directions, neighbors_within


def _directions(vectors, name="d", dead=()):
    silent = np.zeros(len(vectors), bool)
    silent[list(dead)] = True
    return live_directions(vectors, silent, name)


def _map(directions, seed=0, start=None):
    return feature_map(directions, neighbors_within(directions)[0], seed, start)


def _groups(n_groups=12, size=15, seed=0, noise=0.3):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(n_groups, 24, generator=generator).repeat_interleave(size, 0)
    return centres + noise * torch.randn(len(centres), 24, generator=generator)


def _moved(before, places):
    ways = np.linalg.norm(places - before.select("x", "y").to_numpy(), axis=1)
    return np.median(ways)


@pytest.mark.parametrize("n", [1, 2, 3, FEWEST - 1])
def test_few_features_are_placed_by_principal_components(n):
    places = _map(_directions(torch.randn(n, 8, generator=torch.Generator().manual_seed(n))))

    assert len(places) == n
    assert np.isfinite(places.select("x", "y").to_numpy()).all()
    assert places["cluster_id"].to_list() == [-1] * n


def test_groups_of_like_features_lie_together_and_the_map_repeats():
    generator = torch.Generator().manual_seed(0)
    vectors = torch.eye(16)[:3].repeat_interleave(15, 0) + 0.05 * torch.randn(45, 16, generator=generator)
    directions = _directions(vectors, dead=[3, 20])

    places = _map(directions, seed=1)

    assert places.equals(_map(directions, seed=1))
    assert places["index"].to_list() == [i for i in range(45) if i not in (3, 20)]
    clusters = {group: set(part["cluster_id"]) - {-1} for (group,), part in places.group_by(pl.col("index") // 15)}
    assert all(clusters.values())
    assert len(set.union(*clusters.values())) == sum(len(group) for group in clusters.values())


def test_carried_features_of_a_retrained_dictionary_stay_where_they_were():
    before, order = _groups(), np.random.default_rng(0).permutation(150)
    first = _map(_directions(before, "old"))
    # The new dictionary: 150 of the 180 turned a little and in another order, and 30 others.
    generator = torch.Generator().manual_seed(1)
    after = torch.cat([before[order] + 0.1 * torch.randn(150, 24, generator=generator), _groups(2, 15, seed=9)])
    new = _directions(after, "new")
    start = carried_places(new, before, first)

    following, afresh = _map(new, start=start), _map(new)

    stood = first[order]
    way = _moved(stood, following.select("x", "y").to_numpy()[:150])
    control = _moved(stood, aligned(np.arange(180), afresh.select("x", "y").to_numpy(), start)[:150])
    assert way < control / 2
    kept = following["cluster_id"][:150].to_numpy() == stood["cluster_id"].to_numpy()
    assert kept.mean() > 0.9
    assert start["index"].to_list() == list(range(150))
    assert following.equals(_map(new, start=start))


def test_features_that_are_each_others_nearest_are_carried():
    rows = [[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]
    # A dead latent; one near the third axis; two near the first, of which one is nearer; one far from all.
    current = [[1.0, 0, 0], [0, 0.1, 1], [1, 0.1, 0], [1, 0.3, 0], [-1, -1, -1]]
    last = pl.DataFrame({"index": [0, 2], "x": [1.0, 2.0], "y": [3.0, 4.0], "cluster_id": [5, -1]})

    start = carried_places(_directions(torch.tensor(current), dead=[0]), torch.tensor(rows), last)

    assert start.schema == START
    assert start.rows() == [(1, 2.0, 4.0, -1), (2, 1.0, 3.0, 5)]


def test_new_features_begin_amid_their_neighbours_and_lonely_ones_on_the_map():
    start = pl.DataFrame([(0, 0.0, 0.0, 0), (2, 4.0, 8.0, 0)], schema=START, orient="row")
    # Features 0, 2, 5, 6, 9: the third has the first two as neighbours, the fourth only the third, the last none.
    graph = np.zeros((5, 5))
    for one, other in ((0, 2), (1, 2), (2, 3)):
        graph[one, other] = graph[other, one] = 0.5
    tied = csr_array(graph)

    places = filled_in(np.array([0, 2, 5, 6, 9]), start, tied, seed=0)

    assert places is not None
    np.testing.assert_allclose(places[:4], [[0, 0], [4, 8], [2, 4], [2, 4]], atol=0.01)
    assert (places[4] >= -0.01).all()
    assert (places[4] <= [4.01, 8.01]).all()
    assert filled_in(np.array([0, 2]), START.to_frame(), tied, seed=0) is None


def test_a_map_that_was_turned_scaled_and_shifted_is_turned_back():
    random = np.random.default_rng(0)
    stood, angle = random.normal(size=(6, 2)).astype(np.float32), 0.7
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    start = pl.DataFrame({"index": range(6), "x": stood[:, 0], "y": stood[:, 1], "cluster_id": [0] * 6}, schema=START)

    found = aligned(np.arange(6), (3 * stood @ rotation + [5, -2]).astype(np.float32), start)

    np.testing.assert_allclose(found, stood, atol=1e-4)


def test_clusters_keep_the_numbers_of_those_with_which_they_share_most():
    start = pl.DataFrame(
        [(0, 0.0, 0.0, 4), (1, 0.0, 0.0, 4), (2, 0.0, 0.0, 4), (3, 0.0, 0.0, 1), (9, 0.0, 0.0, 0)],
        schema=START,
        orient="row",
    )

    numbers = kept_numbers(np.arange(7), np.array([2, 2, 0, 0, 1, -1, 3]), start)

    # Cluster 2 shares two features with 4; cluster 0 one with each of 4 (taken) and 1; 1 and 3 are new.
    assert numbers.tolist() == [4, 4, 1, 1, 0, -1, 2]


def test_a_map_without_its_neighbours_is_refused():
    directions = _directions(_groups(2, 15))

    with pytest.raises(AtlasError, match="14 of each"):
        feature_map(directions, neighbors_within(directions, size=5)[0], 0)


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
