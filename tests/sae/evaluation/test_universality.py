import numpy as np
import polars as pl
import pytest
import torch
from hand_made import make_shard

from sae.activations.shard import ActivationShard
from sae.dictionaries.imported import neuron_dictionary
from sae.errors import AtlasError
from sae.evaluation.intervals import median_interval
from sae.evaluation.universality import Correlations, max_correlations, pearson, universality


def random_activations(n: int, d: int, seed: int) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_the_largest_pearson_correlation_over_the_tokens_trainable_in_both() -> None:
    one = [random_activations(40, 5, 0), random_activations(30, 5, 1)]
    other = [torch.cat([0.5 * x[:, [2, 0]] + 0.1, random_activations(len(x), 2, 2 + len(x))], dim=1) for x in one]
    shards = [
        (make_shard(one[0], special=[0]), make_shard(other[0], massive=[7])),
        (make_shard(one[1]), make_shard(other[1])),
    ]

    found = max_correlations(neuron_dictionary(5), neuron_dictionary(4), shards)

    kept = [row for row in range(40) if row not in (0, 7)]
    f = torch.cat([one[0][kept], one[1]]).relu().numpy()
    g = torch.cat([other[0][kept], other[1]]).relu().numpy()
    expected = np.corrcoef(f.T, g.T)[:5, 5:].max(axis=1)
    assert found.n_tokens == 68
    np.testing.assert_allclose(found.found, expected, atol=1e-6)
    assert found.found[2] > 0.95
    assert found.shuffled[2] < 0.6


def test_latents_that_are_never_active_have_no_part() -> None:
    x = random_activations(50, 3, 0).abs()
    x[:, 1] = -1

    found = max_correlations(neuron_dictionary(3), neuron_dictionary(3), [(make_shard(x), make_shard(x))])

    np.testing.assert_allclose(found.found, [1, 1], atol=1e-6)


def test_the_sparse_product_is_the_dense_one() -> None:
    x = random_activations(200, 60, 0) - 2.5  # under 1% of the entries are positive
    y = x.roll(1, dims=1)

    found = max_correlations(neuron_dictionary(60), neuron_dictionary(60), [(make_shard(x), make_shard(y))])

    assert float((x > 0).float().mean()) ** 2 < 1e-3
    np.testing.assert_allclose(found.found, 1, atol=1e-6)


def test_pearson_by_hand() -> None:
    f, g = np.array([[1.0, 2.0, 3.0, 0.0]]), np.array([[2.0, 1.0, 0.0, 1.0]])
    sums = [np.stack([v.sum(1), (v**2).sum(1)]) for v in (f, g)]

    # Deviations -.5, .5, 1.5, -1.5 and 1, 0, -1, 0: covariance -2 over sqrt(5 · 2).
    assert pearson(f @ g.T, sums, 4)[0, 0] == pytest.approx(-2 / np.sqrt(10))


def test_other_tokens_are_refused() -> None:
    one, other = make_shard(torch.ones(3, 2)), make_shard(torch.ones(3, 2))
    other = ActivationShard(other.tokens.with_columns(token_id=pl.lit(9, pl.Int32)), torch.ones(3, 2))

    with pytest.raises(AtlasError, match="same tokens"):
        max_correlations(neuron_dictionary(2), neuron_dictionary(2), [(one, other)])


def test_the_row_is_the_median_beside_the_neurons() -> None:
    features = Correlations(np.array([0.2, 0.9, 0.6]), np.array([0.1, 0.1, 0.2]), 100)
    neurons = Correlations(np.array([0.3, 0.4]), np.array([0.1, 0.2]), 100)

    row = universality(features, neurons, "twin")

    assert (row.metric, row.value, row.n) == ("universality", 0.6, 3)
    assert row.control == pytest.approx(0.35)
    assert row.interval == (0.2, 0.9)
    assert row.details["above_half"] == pytest.approx(2 / 3)
    assert row.details["neurons_above_half"] == 0
    assert row.details["shuffled"] == 0.1
    assert (row.details["other"], row.details["deciles"][0], row.details["deciles"][-1]) == ("twin", 0.2, 0.9)


def test_the_medians_interval_are_order_statistics() -> None:
    # n = 100: ranks 40.2 and 59.8, outwards 40 and 60; as the table of the binomial has it.
    assert median_interval(np.arange(1, 101)) == (40, 61)
    assert median_interval(np.array([3.0])) == (3, 3)
    with pytest.raises(ValueError, match="no median"):
        median_interval(np.array([]))
