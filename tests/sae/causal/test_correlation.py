import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import rankdata

from sae.causal.correlation import spearman

PAIRS = st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=2, max_size=30)


@given(PAIRS)
def test_it_agrees_with_scipy_with_ties(pairs: list[tuple[int, int]]):
    a, b = np.array(pairs, dtype=float).T
    assume(len(set(a)) > 1 and len(set(b)) > 1)
    assert spearman(a, b) == pytest.approx(np.corrcoef(rankdata(a), rankdata(b))[0, 1], abs=1e-12)


def test_it_is_undefined_without_variation_and_refuses_unequal_lengths():
    assert spearman(np.array([1.0, 1.0]), np.array([1.0, 2.0])) is None
    assert spearman(np.array([1.0]), np.array([2.0])) is None
    assert spearman(np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 100.0])) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="2 and 1"):
        spearman(np.zeros(2), np.zeros(1))
