import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from sae.labels.judges.simulation import importance, weighted_spearman

levels = st.lists(st.tuples(st.integers(0, 10), st.integers(0, 10)), min_size=3, max_size=60)


@given(levels)
def test_equal_weights_give_spearmans_correlation(pairs):
    a, b = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))

    found = weighted_spearman(a, b, np.ones(len(a)))

    if len(set(a)) == 1 or len(set(b)) == 1:
        assert found is None
    else:
        assert found == pytest.approx(np.corrcoef(rankdata(a), rankdata(b))[0, 1], abs=1e-9)


@given(levels, st.lists(st.integers(1, 4), min_size=60, max_size=60))
def test_a_whole_weight_is_a_repetition(pairs, weights):
    a, b = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    w = np.array(weights[: len(a)])

    found = weighted_spearman(a, b, w.astype(float))
    repeated = weighted_spearman(np.repeat(a, w), np.repeat(b, w), np.ones(w.sum()))

    assert found == (None if repeated is None else pytest.approx(repeated, abs=1e-9))


def test_nothing_has_no_correlation():
    assert weighted_spearman(np.array([]), np.array([]), np.array([])) is None


def test_importance_undoes_the_choice_of_strong_windows():
    # The sample: six of the top tenth, two of the lowest; the draws: one of the top, seven of the lowest.
    tenths = [9] * 6 + [0] * 2 + [None] * 3

    weights = importance(tenths, {9: 1, 0: 7})

    # Shares of the draws, one added to each: 2/10 and 8/10; of the sample: 6/8 and 2/8.
    assert weights[:6] == pytest.approx([0.2 / 0.75] * 6)
    assert weights[6:8] == pytest.approx([0.8 / 0.25] * 2)
    assert list(weights[8:]) == [1.0] * 3
    assert weights[:8].sum() == pytest.approx(8)
