"""Rows of the `evaluation` table: a figure never stands without its count, its interval, its control and its seed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from sae.evaluation.intervals import bootstrap_mean, wilson
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
    """95%; None where the figure comes from a count that is complete, or too few things."""
    control: float | None = None
    """What the same measure gives by chance or without the mechanism."""
    details: dict[str, Any] = field(default_factory=dict)
    """JSON values."""


def share(metric: str, successes: int, n: int, unit: str, **details: Any) -> Measure:
    """A share with Wilson's interval."""
    return Measure(
        metric,
        successes / n if n else None,
        n,
        wilson(successes, n),
        details={"unit": unit, "interval": "wilson"} | details,
    )


def mean(metric: str, values: Sequence[float], unit: str, seed: int, **details: Any) -> Measure:
    """A mean with the bootstrap's interval."""
    sample = np.asarray(values, dtype=np.float64)
    return Measure(
        metric,
        float(sample.mean()) if len(sample) else None,
        len(sample),
        bootstrap_mean(sample, seed) if len(sample) else None,
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
