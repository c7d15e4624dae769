"""Rows of the `evaluation` table: a figure never stands without its count, its interval, its control and its seed."""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from sae.evaluation.intervals import bootstrap_mean, bootstrap_ratio, wilson
from sae.identity import canonical_json

EVALUATION = pl.Schema(
    {
        "dictionary_id": pl.String,
        "metric": pl.String,
        "value": pl.Float64,
        "n": pl.Int64,
        "ci_low": pl.Float64,
        "ci_high": pl.Float64,
        "control": pl.Float64,
        "seed": pl.Int64,
        "details": pl.String,
    }
)

DIGITS = 7
"""Significant digits that a figure is stored with: those after them are the order in which a processor happened to add,
which differs from run to run by where in memory the numbers lie."""


@dataclass(frozen=True)
class Measure:
    """One measured figure."""

    metric: str
    value: float | None
    """None where there was nothing to measure (`n` is 0)."""
    n: int
    """Number of things that it averages over; `details.unit` names them."""
    interval: tuple[float, float] | None = None
    """95%; None where the figure comes from a count that is complete, or fewer than `intervals.LEAST` things."""
    control: float | None = None
    """What the same measure gives by chance or without the mechanism."""
    details: dict[str, Any] = field(default_factory=dict)
    """JSON values."""


def share(metric: str, successes: int, n: int, unit: str, **details: Any) -> Measure:
    """A share of things that are independent of one another, with Wilson's interval."""
    return Measure(
        metric,
        successes / n if n else None,
        n,
        wilson(successes, n),
        details={"unit": unit, "interval": "wilson"} | details,
    )


def clustered_share(
    metric: str, hits: Sequence[bool], of: Sequence[Hashable], unit: str, drawn: str, seed: int, **details: Any
) -> Measure:
    """A share of things that are not independent: which one in `of` each belongs to, and what those are (`drawn`).

    The bootstrap draws them with all that belongs to them. Where all hit or none, each draw would be the same: then
    Wilson's interval, as of one thing each.
    """
    n_by, hits_by = Counter(of), Counter(one for one, hit in zip(of, hits, strict=True) if hit)
    if 0 < sum(hits) < len(hits):
        above, below = (np.array([counts[one] for one in n_by], dtype=np.float64) for counts in (hits_by, n_by))
        interval, how = bootstrap_ratio(above, below, seed), "bootstrap"
    else:
        interval, how = wilson(len(n_by) if any(hits) else 0, len(n_by)), "wilson"
    return Measure(
        metric,
        sum(hits) / len(hits) if hits else None,
        len(hits),
        interval,
        details={"unit": unit, "interval": how, "drawn": drawn, "n_drawn": len(n_by)} | details,
    )


def mean(metric: str, values: Sequence[float], unit: str, seed: int, **details: Any) -> Measure:
    """A mean of values that are independent of one another, with the bootstrap's interval."""
    sample = np.asarray(values, dtype=np.float64)
    return Measure(
        metric,
        float(sample.mean()) if len(sample) else None,
        len(sample),
        bootstrap_mean(sample, seed),
        details={"unit": unit, "interval": "bootstrap"} | details,
    )


def evaluation_frame(dictionary_id: str, measures: Sequence[Measure], seed: int) -> pl.DataFrame:
    """The table `evaluation`, sorted by metric: figures of `DIGITS` digits, and null for one that is not finite."""
    rows = [
        {
            "dictionary_id": dictionary_id,
            "metric": measure.metric,
            "value": _stored(measure.value),
            "n": measure.n,
            "ci_low": _stored(measure.interval[0]) if measure.interval else None,
            "ci_high": _stored(measure.interval[1]) if measure.interval else None,
            "control": _stored(measure.control),
            "seed": seed,
            "details": canonical_json(measure.details),
        }
        for measure in measures
    ]
    return pl.DataFrame(rows, schema=EVALUATION).sort("metric")


def _stored(value: float | None) -> float | None:
    return float(f"{value:.{DIGITS}g}") if value is not None and math.isfinite(value) else None
