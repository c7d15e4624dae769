import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sae.catalog.frames import frame_schema
from sae.catalog.schema_evaluation import EVALUATION as EVALUATION_TABLE
from sae.evaluation.intervals import LEAST, bootstrap_mean, bootstrap_ratio, student, wilson
from sae.evaluation.measures import Measure, clustered_share, evaluation_frame, mean, share


def test_wilson_agrees_with_the_published_example():
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I: 81 of 263.
    low, high = wilson(81, 263)
    assert low == pytest.approx(0.2553, abs=5e-5)
    assert high == pytest.approx(0.3662, abs=5e-5)


@given(st.integers(0, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share_and_stays_in_bounds(counts: tuple[int, int]):
    successes, n = counts
    low, high = wilson(successes, n)
    assert 0 <= low <= (successes / n if n else 0.5) + 1e-12
    assert (successes / n if n else 0.5) - 1e-12 <= high <= 1


def test_wilson_refuses_impossible_counts():
    with pytest.raises(ValueError, match="3 successes of 2"):
        wilson(3, 2)


def test_the_bootstrap_is_near_the_normal_interval_and_repeats_with_its_seed():
    values = np.random.default_rng(0).normal(2.0, 1.0, 400)
    interval = bootstrap_mean(values, seed=7)
    assert interval is not None
    low, high = interval
    half = 1.96 * values.std(ddof=1) / math.sqrt(400)
    assert low == pytest.approx(values.mean() - half, abs=0.02)
    assert high == pytest.approx(values.mean() + half, abs=0.02)
    assert (low, high) == bootstrap_mean(values, seed=7)
    assert (low, high) != bootstrap_mean(values, seed=8)


def test_a_ratio_of_proportional_series_has_no_spread():
    below = np.arange(1.0, 20.0)
    assert bootstrap_ratio(3 * below, below, seed=0) == (3.0, 3.0)
    with pytest.raises(ValueError, match="19 and 2"):
        bootstrap_ratio(below, below[:2], seed=0)


def test_too_few_values_give_no_bootstrap():
    few = np.arange(float(LEAST - 1))

    assert bootstrap_mean(few, seed=0) is None
    assert bootstrap_ratio(few, few + 1, seed=0) is None
    assert mean("state_f1", [0.9], "concepts", seed=0).interval is None
    assert mean("state_f1", [0.1 * n for n in range(LEAST)], "concepts", seed=0).interval is not None


def test_students_interval_agrees_with_the_table():
    # t(5) = 2.5706 at 97.5%; the values' standard deviation is √3.5.
    half = 2.5706 * (3.5 / 6) ** 0.5
    assert student([1, 2, 3, 4, 5, 6]) == pytest.approx((3.5 - half, 3.5 + half), abs=1e-4)
    with pytest.raises(ValueError, match="1 values"):
        student([0.5])


def test_students_interval_holds_the_mean_of_three_values_as_often_as_it_says():
    generator = np.random.default_rng(0)
    intervals = [student(generator.normal(size=3).tolist()) for _ in range(2000)]
    held = np.mean([low <= 0 <= high for low, high in intervals])
    assert held == pytest.approx(0.95, abs=0.015)  # three standard errors


def test_a_share_of_what_belongs_together_draws_what_it_belongs_to():
    players = [f"player {number}" for number in range(18) for _ in range(24)]
    hits = [number % 2 == 0 for number in range(18) for _ in range(24)]  # a player's prompts stand or fall together

    found = clustered_share("chain_swap", hits, players, "prompts", "players", seed=0)

    assert found.interval is not None
    assert (found.value, found.n) == (0.5, 432)
    assert found.interval[1] - found.interval[0] == pytest.approx(2 * 1.96 * (0.25 / 18) ** 0.5, rel=0.1)
    assert found.details == {"unit": "prompts", "interval": "bootstrap", "drawn": "players", "n_drawn": 18}
    assert found == clustered_share("chain_swap", hits, players, "prompts", "players", seed=0)


def test_a_share_of_few_that_others_belong_to_has_no_interval():
    found = clustered_share("m", [True, False] * 35, list(range(LEAST - 1)) * 10, "prompts", "players", seed=0)

    assert (found.value, found.n, found.interval) == (0.5, 70, None)


@pytest.mark.parametrize("hit", [True, False])
def test_where_all_hit_or_none_each_of_what_is_drawn_counts_once(hit: bool):
    found = clustered_share("m", [hit] * 40, list(range(10)) * 4, "prompts", "players", seed=0)

    assert found.interval == wilson(10 * hit, 10)
    assert found.details["interval"] == "wilson"


def test_nothing_to_draw_is_no_figure():
    found = clustered_share("m", [], [], "prompts", "players", seed=0)

    assert (found.value, found.n, found.interval) == (None, 0, (0.0, 1.0))


def test_measures_become_sorted_rows_with_their_details():
    measures = [
        share("strict_accuracy", 3, 4, "questions"),
        mean("state_f1", [0.5, 1.0], "concepts", seed=0, threshold=0),
        mean("team_f1", [], "concepts", seed=0),
        Measure("fvu", float("nan"), 0),
    ]
    frame = evaluation_frame("d", measures, seed=5)
    assert frame["metric"].to_list() == ["fvu", "state_f1", "strict_accuracy", "team_f1"]
    assert frame["value"].to_list() == [None, 0.75, 0.75, None]
    assert frame["details"][1] == '{"interval":"bootstrap","threshold":0,"unit":"concepts"}'
    assert frame["ci_low"][2] == pytest.approx(wilson(3, 4)[0], rel=1e-6)
    assert set(frame["seed"]) == {5}
    assert frame.schema == frame_schema(EVALUATION_TABLE)


def test_sums_made_in_another_order_are_the_same_figure():
    values = [0.6868272544269064, 0.6868272544212399]  # the same FVU, measured twice on one machine
    frames = [
        evaluation_frame("d", [Measure("fvu", value, 9, (value, value + 0.01), value)], seed=0) for value in values
    ]
    assert frames[0].equals(frames[1])
    assert frames[0]["value"].item() == pytest.approx(values[0], rel=1e-6)
