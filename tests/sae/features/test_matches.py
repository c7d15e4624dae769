"""What became of features between two dictionaries made by hand: axes of a small space, turned by known angles."""

import math

import pytest
import torch
from hand_made import make_shard
from torch import Tensor

from sae.dictionaries.dictionary import Dictionary
from sae.features.matches import CARRIED, CORRELATED, MATCHES, match_features


def axes(*rows: list[float]) -> Dictionary:
    """A ReLU dictionary that reads along its decoder rows."""
    decoder = torch.nn.functional.normalize(torch.tensor(rows, dtype=torch.float32), dim=1)
    return Dictionary(
        W_enc=decoder.T.contiguous(),
        b_enc=torch.zeros(len(rows)),
        W_dec=decoder,
        b_dec=torch.zeros(decoder.shape[1]),
        form="standard",
        apply_b_dec_to_input=False,
    )


def turned(degrees: float) -> list[float]:
    """A direction in the plane of the first two axes, so far from the first."""
    return [math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), 0.0, 0.0]


@pytest.fixture
def values() -> Tensor:
    return torch.randn(400, 4, generator=torch.Generator().manual_seed(0)).abs()


def statuses(current: Dictionary, previous: Dictionary, values: Tensor):
    frame = match_features(current, "new", previous, "old", [make_shard(values)])
    assert frame.schema == MATCHES
    rows = frame.select("feature_id", "previous_feature_id", "status").rows()
    assert len(rows) == len(set(rows))
    return {(one, other): status for one, other, status in rows}


def test_the_same_directions_are_carried_whatever_their_order(values):
    previous, current = axes([1, 0, 0, 0], [0, 1, 0, 0]), axes([0, 1, 0, 0], [1, 0, 0, 0])

    frame = match_features(current, "new", previous, "old", [make_shard(values)])

    assert frame.select("feature_id", "previous_feature_id", "status").rows() == [
        ("new:0", "old:1", "carried"),
        ("new:1", "old:0", "carried"),
    ]
    assert frame["cosine"].to_list() == pytest.approx([1, 1])
    assert frame["activation_correlation"].to_list() == pytest.approx([1, 1])
    assert frame["dictionary_id"].unique().to_list() == ["new"]
    assert frame["previous_dictionary_id"].unique().to_list() == ["old"]


def test_one_feature_becomes_two(values):
    found = statuses(axes(turned(10), turned(-20)), axes(turned(0)), values)

    assert found == {("new:0", "old:0"): "carried", ("new:1", "old:0"): "split"}


def test_two_features_become_one(values):
    found = statuses(axes(turned(0)), axes(turned(10), turned(-20)), values)

    assert found == {("new:0", "old:0"): "carried", ("new:0", "old:1"): "merged"}


def test_what_nothing_matches_is_new_or_retired(values):
    found = statuses(axes([1, 0, 0, 0], [0, 0, 1, 0]), axes([1, 0, 0, 0], [0, 1, 0, 0]), values)

    assert found == {("new:0", "old:0"): "carried", ("new:1", None): "new", (None, "old:1"): "retired"}


@pytest.mark.parametrize(("offset", "status"), [(-1.0, "carried"), (1.0, "new")])
def test_the_cosine_has_a_threshold(offset, status, values):
    angle = math.degrees(math.acos(CARRIED)) + offset
    values[:, 1] = 0  # so that both read the same

    found = statuses(axes(turned(angle)), axes(turned(0)), values)

    assert status in found.values()


@pytest.mark.parametrize(("offset", "status"), [(0.05, "carried"), (-0.05, "new")])
def test_activations_must_correlate_too(offset, status):
    wanted = CORRELATED + offset
    read = torch.randn(4000, 2, generator=torch.Generator().manual_seed(1)).double()
    read = torch.linalg.qr(read - read.mean(0)).Q
    # What lies along the second axis sets how the two correlate; their cosine is .9 whatever lies there.
    current, previous = axes([0.9, math.sqrt(1 - 0.9**2), 0, 0]), axes([1, 0, 0, 0])
    spread = 0.9 / math.sqrt(1 - 0.9**2) * math.sqrt(1 / wanted**2 - 1)
    values = torch.zeros(4000, 4)
    values[:, :2] = (read * torch.tensor([1.0, spread]) + 10).float()

    found = statuses(current, previous, values)

    assert status in found.values()


def test_the_next_best_match_carries_on_what_the_nearest_does_not(values):
    """The old one's nearest reads something else: the other new one that matches it carries it on, and none retires."""
    previous = axes(turned(0))
    current = axes(turned(5), turned(10))
    current.b_enc[0] = -100.0

    found = statuses(current, previous, values)

    assert found == {("new:0", None): "new", ("new:1", "old:0"): "carried"}


def test_the_correlation_is_pearsons_over_readable_tokens(values):
    current, previous = axes(turned(30)), axes(turned(0))
    spoiled = values.clone()
    spoiled[0] = 1e6
    (correlation,) = match_features(current, "new", previous, "old", [make_shard(spoiled, special=[0])])[
        "activation_correlation"
    ]

    read = values[1:]
    pair = torch.stack([current.encode(read)[:, 0], previous.encode(read)[:, 0]])
    assert correlation == pytest.approx(float(torch.corrcoef(pair.double())[0, 1]), abs=1e-6)


def test_a_silent_feature_matches_nothing(values):
    assert statuses(axes([1, 0, 0, 0]), axes([1, 0, 0, 0]), -values) == {
        ("new:0", None): "new",
        (None, "old:0"): "retired",
    }
