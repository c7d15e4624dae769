import math

import numpy as np
import polars as pl
import pytest
import torch

from sae.dictionaries.dictionary import Dictionary
from sae.evaluation.density import below, histogram, ultralow_density, valley
from sae.evaluation.intervals import wilson


def hand_made(densities: list[float], biases: list[float], turned: list[bool]) -> tuple[Dictionary, pl.DataFrame]:
    """A dictionary of two inputs whose encoders lie along the decoders, or across where they are `turned`."""
    n = len(densities)
    decoder = torch.tensor([[1.0, 0.0]] * n)
    encoder = torch.tensor([[0.0, 1.0] if other else [2.0, 0.0] for other in turned])
    dictionary = Dictionary(encoder.T.contiguous(), torch.tensor(biases), decoder, torch.zeros(2), "standard")
    features = pl.DataFrame({"index": range(n), "density": densities, "is_dead": [d == 0 for d in densities]})
    return dictionary, features


def test_the_cluster_far_below_is_told_apart() -> None:
    densities = [1.2e-5] * 10 + [1.2e-2] * 25 + [2.5e-2] * 5 + [0.0] * 3
    dictionary, features = hand_made(densities, [-1.0] * 10 + [-3.0] * 33, [True] * 10 + [False] * 33)

    found = ultralow_density(dictionary, features, n_tokens=10**6)

    assert (found.value, found.n, found.interval) == (10 / 40, 40, wilson(10, 40))
    # Bins of a quarter of a decade: log10 1.2e-5 = -4.92 lies in [-5, -4.75), 1.2e-2 in [-2, -1.75).
    assert found.details["log10_density_edges"][0] == -5.0
    assert (found.details["counts"][0], found.details["counts"][12]) == (10, 25)
    assert sum(found.details["counts"]) == 40
    assert -4.75 < found.details["log10_threshold"] < -2
    assert found.details["n_dead"] == 3
    assert found.details["median_bias"] == {"cluster": -1.0, "others": -3.0}
    assert found.details["median_cosine"] == {"cluster": 0.0, "others": 1.0}
    assert found.details["told_apart_by"] == {"bias": 0.0, "cosine": 1.0}


def test_one_mode_has_no_cluster() -> None:
    densities = [10 ** (-3 + 0.1 * math.sin(i)) for i in range(40)]
    dictionary, features = hand_made(densities, [0.0] * 40, [False] * 40)

    found = ultralow_density(dictionary, features, n_tokens=1000)

    assert (found.value, found.details["log10_threshold"]) == (0.0, None)
    assert found.details["median_bias"] == {"cluster": None, "others": 0.0}


def test_a_few_outliers_are_no_mode() -> None:
    edges, counts = histogram(np.array([-6.0, *[-2.0] * 200]))

    assert valley(edges, counts) is None


def test_the_valley_is_the_middle_of_the_deepest_bin() -> None:
    edges, counts = np.arange(8, dtype=np.float64), np.array([8, 8, 0, 0, 0, 16, 16])
    # Smoothed: 6, 8 · .75 = 6, 2, 0, 4, 12, 12: bin 3 holds nothing.
    assert valley(edges, counts) == 3.5


def test_nothing_alive_has_no_density() -> None:
    dictionary, features = hand_made([0.0, 0.0], [0.0, 0.0], [False, False])

    assert ultralow_density(dictionary, features, n_tokens=10).value is None


def test_below_is_the_mann_whitney_share() -> None:
    assert below(np.array([1.0, 3.0]), np.array([2.0, 3.0])) == pytest.approx((2 + 0.5) / 4)
    assert below(np.array([]), np.array([1.0])) is None
