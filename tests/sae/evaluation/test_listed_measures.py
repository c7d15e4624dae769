"""Specificity, absorption and splitting of one concept, by hand."""

from collections.abc import Sequence

import numpy as np
import pytest

from sae.evaluation.listed_measures import MOST, Listed, absorbed, specificity, splitting


def listed(columns: Sequence[Sequence[float]], positive: int, features: list[int] | None = None) -> Listed:
    """A concept with the same texts in either half: those that choose come first, positive ones first in each."""
    activations = np.array(columns, dtype=np.float32).T
    half = len(activations) // 2
    shows = np.arange(half) < positive
    return Listed(
        activations,
        np.concatenate([shows, shows]),
        np.arange(2 * half) < half,
        np.arange(len(columns)) if features is None else np.array(features),
    )


def test_specificity_is_the_share_of_active_texts_that_show_the_concept_by_level():
    # Two positive and two negative texts a half; on the choosing half the maximum is 8.
    concept = listed([[8, 0, 1, 0, 8, 5, 1, 0]], positive=2)

    share, counts = specificity(concept, 0)

    assert share == pytest.approx(2 / 3)
    # 1 is in the first quarter and wrong; 5 is in the third, 8 in the last.
    assert counts.tolist() == [[0, 1], [0, 0], [1, 1], [1, 1]]
    assert specificity(concept, 99)[0] is None


def test_a_positive_text_is_absorbed_where_a_special_feature_fires_instead():
    concept = listed(
        [
            [1, 1, 0, 0, 1, 0, 0, 0],  # 0: the concept's: silent on the second and third positive of the scoring half
            [0, 1, 1, 0, 0, 1, 0, 0],  # 1: special: only on positives, twice
            [1, 1, 1, 1, 1, 1, 1, 1],  # 2: everywhere: not special
            [1, 0, 0, 0, 0, 0, 1, 0],  # 3: once on the choosing half: that may be chance
        ],
        positive=3,
    )

    assert absorbed(concept, 0, np.array([1, 0.5, 0.5, 0.5])) == (1, 2, 3)
    assert absorbed(concept, 0, np.array([1, 0.0, 0.5, 0.5])) == (0, 2, 3)  # another direction
    assert absorbed(concept, 2, np.array([0.5, 0.5, 1, 0.5])) == (0, 0, 3)  # never silent


def test_a_concept_is_split_among_the_features_that_raise_f1_together():
    # Four positive, two negative texts a half. Two features have two positives each, a third fires everywhere.
    halves = [[1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]]
    concept = listed([half * 2 for half in halves], positive=4)

    number, first, joined = splitting(concept)

    # Feature 2 alone has F1 8/10, better than 4/6 of either other; nothing adds to it.
    assert (number, first, joined) == (1, pytest.approx(0.8), pytest.approx(0.8))
    without = listed([half * 2 for half in halves[:2]], positive=4)
    assert splitting(without) == (2, pytest.approx(2 / 3), pytest.approx(1.0))


def test_a_threshold_is_chosen_with_the_feature_and_what_is_chosen_need_not_hold():
    # On the choosing half strong activations show the concept; on the scoring half they do not.
    concept = listed([[10, 10, 1, 1, 1, 1, 10, 10]], positive=2)

    assert splitting(concept) == (1, pytest.approx(0.0), pytest.approx(0.0))


def test_nothing_active_is_no_feature_and_many_parts_are_counted_up_to_the_most():
    assert splitting(listed([[0, 0, 0, 0]], positive=1)) == (0, 0.0, 0.0)
    parts = [[float(i == j) for i in range(8)] * 2 for j in range(7)]
    assert splitting(listed(parts, positive=7))[0] == MOST
