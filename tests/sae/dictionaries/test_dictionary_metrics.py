import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sae.dictionaries import metrics
from sae.dictionaries.dictionary import Dictionary
from sae.errors import AtlasError

X = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
RECONSTRUCTION = torch.tensor([[3.0, 2.0], [0.0, 2.0]])
CODES = torch.tensor([[1.0, 0.0, 2.0, 0.0], [0.5, 0.0, 0.0, 0.0]])


def test_fvu_by_hand() -> None:
    # mean (1.5, 3): variance 2.25 + 1 + 2.25 + 1; error 2².
    assert metrics.fvu(X, RECONSTRUCTION) == 4 / 6.5


def test_fvu_is_one_for_the_mean_and_zero_for_the_truth() -> None:
    assert metrics.fvu(X, X.mean(dim=0).expand_as(X)) == 1
    assert metrics.fvu(X, X) == 0
    assert math.isnan(metrics.fvu(torch.ones(2, 2), torch.zeros(2, 2)))


def test_counts_by_hand() -> None:
    assert metrics.l0(CODES) == 1.5
    assert metrics.density(CODES).tolist() == [1.0, 0.0, 0.5, 0.0]
    assert metrics.dead_fraction(CODES) == 0.5


def test_cosine_and_relative_norm_by_hand() -> None:
    first = (9 + 8) / (5 * math.sqrt(13))

    assert metrics.cosine(X, RECONSTRUCTION) == pytest.approx((first + 1) / 2)
    assert metrics.relative_norm(X, RECONSTRUCTION) == pytest.approx((math.sqrt(13) / 5 + 1) / 2)
    assert metrics.relative_norm(torch.tensor([[0.0, 0.0], [0.0, 2.0]]), torch.ones(2, 2)) == pytest.approx(0.5**0.5)


@given(n=st.integers(2, 12), cut=st.integers(0, 12), seed=st.integers(0, 2**31), far=st.sampled_from([0.0, 1e3]))
def test_one_pass_over_batches_equals_the_definitions(make_dictionary, n: int, cut: int, seed: int, far: float) -> None:
    dictionary = make_dictionary("jumprelu", seed=seed)
    x = torch.randn(n, 6, generator=torch.Generator().manual_seed(seed)) + far

    found = metrics.evaluate(dictionary, [x[:cut], x[cut:]])

    codes = torch.cat([dictionary.encode(x[:cut]), dictionary.encode(x[cut:])])
    reconstruction = dictionary.decode(codes)
    assert found.n_tokens == n
    assert found.fvu == pytest.approx(metrics.fvu(x, reconstruction), rel=1e-4)
    assert found.l0 == pytest.approx(metrics.l0(codes))
    assert found.dead_fraction == metrics.dead_fraction(codes)
    assert found.cosine == pytest.approx(metrics.cosine(x, reconstruction), rel=1e-4, abs=1e-6)
    assert found.relative_norm == pytest.approx(metrics.relative_norm(x, reconstruction), rel=1e-4)
    assert torch.equal(found.density, metrics.density(codes))


def test_no_token_is_refused(make_dictionary) -> None:
    dictionary: Dictionary = make_dictionary("standard")

    with pytest.raises(AtlasError, match="no held-out token"):
        metrics.evaluate(dictionary, [])
