import polars as pl
import pytest

from sae.evaluation.gates import Gate, gate_table, reached
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


def test_the_interval_of_the_mean_is_narrower_than_a_single_seeds():
    (one,) = reached({(1, "small"): evaluation(6)}, [GATE])
    (three,) = reached({(seed, "small"): evaluation(6) for seed in (1, 2, 3)}, [GATE])

    assert one.interval is not None
    assert three.interval is not None
    assert one.interval[0] < three.interval[0] < 0.6 < three.interval[1] < one.interval[1]


def test_the_worst_of_a_figure_that_should_be_small_is_the_largest():
    gate = Gate("swap_follows", "small", must=0.5, goal=0.03, at_most=True)

    (found,) = reached({(1, "small"): evaluation(4), (2, "small"): evaluation(8)}, [gate])

    assert found.worst == 0.8
    assert not gate.holds(found.mean)
    assert "≤ 0.5" in gate_table([found])
    assert gate_table([found]).endswith("| no |")


def test_a_figure_that_a_seed_lacks_is_left_out():
    assert reached({(1, "small"): evaluation(4), (2, "large"): evaluation(4)}, [GATE]) == []
