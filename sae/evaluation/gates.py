"""What the demo world must show, over several seeds: the claims, their gates, and what was reached.

A gate is fixed before anything is measured; what misses it is shown as it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from sae.evaluation.intervals import student


@dataclass(frozen=True)
class Gate:
    """One claim: which figure of which dictionary, and what it must reach in the mean of the seeds."""

    metric: str
    recipe: str
    """`large` for what one feature stands for and does; `medium`, whose many active latents leave the smallest error,
    for what attribution says of all of them; `small`, whose few latents must be general, for what runs through several.
    The sizes are sides of one trade: Scaling Monosemanticity has three for the same reason."""
    must: float | None
    goal: float | None
    at_most: bool = False
    """Whether smaller is better."""
    is_share: bool = True
    """Whether the figure, like a share or a mean of F1, cannot leave 0 to 1."""

    def holds(self, value: float) -> bool:
        """Whether a mean passes."""
        return self.must is None or (value <= self.must if self.at_most else value >= self.must)


GATES = (
    Gate("composed_accuracy", "large", 0.97, 0.99),
    Gate("strict_accuracy", "large", 0.80, 0.95),
    Gate("picture_accuracy", "large", 0.95, 0.99),
    Gate("loss_recovered", "large", 0.985, 0.999, is_share=False),
    Gate("dead_fraction", "large", 0.15, 0.05, at_most=True),
    Gate("state_f1", "large", 0.70, 0.95),
    Gate("city_f1", "large", 0.75, 0.95),
    Gate("team_f1", "large", 0.55, 0.90),
    Gate("landmark_one_feature", "large", 0.45, 0.9),
    Gate("landmark_languages", "large", 0.85, 1.0),
    Gate("neighbors_state_lift", "large", 2.0, 4.0, is_share=False),
    Gate("neighbors_city_lift", "large", 4.0, 8.0, is_share=False),
    Gate("attribution_ablation_spearman", "medium", 0.85, 0.95, is_share=False),
    Gate("chain_in_top10", "small", 0.60, 0.95),
    Gate("state_active", "small", None, 0.7),
    Gate("swap_follows", "large", 0.40, 0.8),
    Gate("swap_follows_control", "large", 0.05, 0.03, at_most=True),
    Gate("chain_swap", "small", 0.20, 0.7),
    Gate("chain_swap_control", "small", 0.05, 0.03, at_most=True),
    Gate("steering_about", "large", 0.75, 0.9),
    Gate("addition_f1", "large", None, 0.8),
    Gate("addition_accuracy", "large", None, 0.9),
    Gate("code_error_f1", "large", None, 0.8),
)


@dataclass(frozen=True)
class Reached:
    """One figure over several seeds."""

    gate: Gate
    mean: float
    worst: float
    interval: tuple[float, float] | None
    """95%, of the mean over all seeds that there could be: Student's, of the figures of those measured, each of which
    has a world, a model and dictionaries of its own. Of a single seed its own interval: of that world's things alone.
    """
    control: float | None
    """Mean over seeds."""
    per_seed: dict[int, float]
    other_recipes: dict[str, float]
    """The same figure of the world's other dictionaries, mean over seeds."""


def reached(evaluations: Mapping[tuple[int, str], pl.DataFrame], gates: Sequence[Gate] = GATES) -> list[Reached]:
    """What each gate's figure came to; `evaluations` holds the table `evaluation` by (seed, recipe).

    A gate without a figure in every seed is left out.
    """
    seeds = sorted({seed for seed, _ in evaluations})
    rows = pl.concat(
        [
            frame.with_columns(run_seed=pl.lit(seed), recipe=pl.lit(recipe))
            for (seed, recipe), frame in evaluations.items()
        ]
    ).drop_nulls("value")
    return [found for gate in gates if (found := _one(gate, rows.filter(metric=gate.metric), seeds)) is not None]


def _one(gate: Gate, rows: pl.DataFrame, seeds: Sequence[int]) -> Reached | None:
    own = rows.filter(recipe=gate.recipe).sort("run_seed")
    if own["run_seed"].to_list() != list(seeds):
        return None
    values = own["value"].to_list()
    mean = sum(values) / len(values)
    controls = own["control"].drop_nulls().to_list()
    others = rows.filter(pl.col("recipe") != gate.recipe).group_by("recipe").agg(pl.col("value").mean()).sort("recipe")
    return Reached(
        gate,
        mean,
        max(values) if gate.at_most else min(values),
        _interval(gate, own),
        sum(controls) / len(controls) if controls else None,
        dict(zip(seeds, values, strict=True)),
        dict(others.iter_rows()),
    )


def _interval(gate: Gate, rows: pl.DataFrame) -> tuple[float, float] | None:
    if len(rows) > 1:
        low, high = student(rows["value"].to_list())
        return (max(low, 0.0), min(high, 1.0)) if gate.is_share else (low, high)
    low, high = rows.select("ci_low", "ci_high").row(0)
    return None if low is None or high is None else (low, high)


def gate_table(found: Sequence[Reached]) -> str:
    """The figures as a markdown table: what must hold, what came out, and how sure that is."""
    columns = ("metric", "dictionary", "must", "goal", "mean", "95%", "worst", "control", "holds")
    lines = [_row(columns), _row(["---"] * len(columns))]
    for one in found:
        gate, sign = one.gate, "≤ " if one.gate.at_most else ""
        interval = "–" if one.interval is None else f"{one.interval[0]:.2f}–{one.interval[1]:.2f}"
        bounds = [f"{sign}{_number(bound)}" for bound in (gate.must, gate.goal)]
        figures = [_number(one.mean), interval, _number(one.worst), _number(one.control)]
        lines.append(_row([gate.metric, gate.recipe, *bounds, *figures, "yes" if gate.holds(one.mean) else "no"]))
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
