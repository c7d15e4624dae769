from dataclasses import replace

import polars as pl
import pytest

from sae.evaluation.gates import GATES, Gate, gate_table, reached
from sae.evaluation.intervals import wilson
from sae.evaluation.measures import evaluation_frame, share

GATE = Gate("swap_follows", "small", must=0.4, goal=0.8)


def evaluation(hits: int, control: float | None = None) -> pl.DataFrame:
    frame = evaluation_frame("d", [share("swap_follows", hits, 10, "prompts")], seed=0)
    return frame.with_columns(control=pl.lit(control, pl.Float64))


def test_a_figure_is_the_mean_of_the_seeds_beside_the_worst_of_them():
    tables = {(1, "small"): evaluation(4, 0.1), (2, "small"): evaluation(8, 0.3), (1, "large"): evaluation(9)}

    (found,) = reached(tables, [GATE])

    assert (found.mean, found.worst) == (pytest.approx(0.6), 0.4)
    assert found.per_seed == {1: 0.4, 2: 0.8}
    assert found.control == pytest.approx(0.2)
    assert found.other_recipes == {"large": 0.9}
    assert GATE.holds(found.mean)


def test_the_interval_of_the_mean_is_of_what_the_seeds_differ_by():
    (alike,) = reached({(seed, "small"): evaluation(hits) for seed, hits in enumerate((6, 6, 6))}, [GATE])
    (apart,) = reached({(seed, "small"): evaluation(hits) for seed, hits in enumerate((5, 6, 7))}, [GATE])

    # t(2) = 4.3027 at 97.5%, the standard deviation .1: whatever the interval of each seed's ten prompts is.
    half = 4.3027 * 0.1 / 3**0.5
    assert alike.interval == (pytest.approx(0.6), pytest.approx(0.6))
    assert apart.interval == (pytest.approx(0.6 - half, abs=1e-4), pytest.approx(0.6 + half, abs=1e-4))


def test_a_single_seed_has_the_interval_of_its_own_things():
    (one,) = reached({(1, "small"): evaluation(6)}, [GATE])
    (without,) = reached({(1, "small"): evaluation(6).with_columns(ci_low=None, ci_high=None)}, [GATE])

    assert one.interval == pytest.approx(wilson(6, 10))
    assert without.interval is None


def test_the_interval_of_a_share_alone_ends_at_0_and_1():
    tables = {(seed, "small"): evaluation(hits) for seed, hits in enumerate((0, 10))}

    (share_found,) = reached(tables, [GATE])
    (other_found,) = reached(tables, [replace(GATE, is_share=False)])

    assert share_found.interval == (0, 1)
    assert other_found.interval is not None
    assert other_found.interval[0] < 0 < 1 < other_found.interval[1]


def test_what_can_leave_0_to_1_is_known_from_its_gate():
    free = {gate.metric for gate in GATES if not gate.is_share}

    lifts = {"neighbors_state_lift", "neighbors_city_lift"}
    assert free == {"loss_recovered", "attribution_ablation_spearman", *lifts}


def test_the_worst_of_a_figure_that_should_be_small_is_the_largest():
    gate = Gate("swap_follows", "small", must=0.5, goal=0.03, at_most=True)

    (found,) = reached({(1, "small"): evaluation(4), (2, "small"): evaluation(8)}, [gate])

    assert found.worst == 0.8
    assert not gate.holds(found.mean)
    assert "≤ 0.5" in gate_table([found])
    assert gate_table([found]).endswith("| no |")


def test_a_figure_that_a_seed_lacks_is_left_out():
    assert reached({(1, "small"): evaluation(4), (2, "large"): evaluation(4)}, [GATE]) == []
