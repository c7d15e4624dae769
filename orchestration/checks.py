"""The checks that stand on the assets: their names, and a result that Dagster and the catalog both read.

A check's fault is shown (severity WARN); what keeps a bad dictionary or catalog from readers are the gates, the assets
`dictionary` and `catalog`.
"""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster import PreviewWarning

from sae.config import CheckConfig

CHECKS: dict[str, dict[str, str]] = {
    "corpus": {"corpus_not_empty": "The shard holds at least one document, or is a part of a file that does."},
    "activations": {"activations_finite": "Every stored activation is a finite number."},
    "activation_set": {"massive_rare": "Massive activations are under one in a hundred positions."},
    "dictionary_candidate": {
        "fvu_below": "Fraction of variance unexplained on held-out tokens, at most `checks.fvu`.",
        "dead_below": "Share of dead latents, at most `checks.dead`.",
        "loss_recovered_above": "Loss recovered on held-out documents, at least `checks.loss_recovered`; "
        "not asked where the model predicts no next token.",
    },
    "labels": {
        "labels_cover": "Share of live features with a label, at least `checks.labels_cover`.",
        "budget_reaches_all": "Share of the features due for a model's label that the budget reached: all of them.",
    },
    "label_scores": {"judges_reach_all": "Share of the wanted scores by a model that were made: all of them."},
    "baseline": {
        "baseline_same": "Trained again, the dictionary has the same weights.",
        "baseline_fvu": "Its fraction of variance unexplained is what it was.",
        "baseline_loss_recovered": "Its loss recovered is what it was.",
    },
    "neighbors": {"neighbors_complete": "Every live feature has a neighbour."},
    "attributions": {"attribution_adds_up": "Attributions and the error term reproduce the first-order change."},
    "catalog_candidate": {"catalog_consistent": "Every reference in the candidate finds its row."},
}
"""Check names by asset, with what each means."""
CHECKS_FACT = "checks"
"""The fact of an artifact that keeps the outcome of its checks."""
NO_LOSS = "not measured, for the model predicts no next token"


@dataclass(frozen=True)
class Check:
    """The outcome of one check."""

    name: str
    passed: bool
    value: float | None
    """None where the check does not apply, as `note` says."""
    threshold: float
    note: str = ""

    def __str__(self) -> str:
        found = self.note if self.value is None else f"{self.value:.4g} against {self.threshold:g}"
        return f"{self.name}: {found}"

    def result(self) -> dg.AssetCheckResult:
        """What Dagster records."""
        return dg.AssetCheckResult(
            passed=self.passed,
            check_name=self.name,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"value": self.note if self.value is None else self.value, "threshold": self.threshold},
        )


def at_most(name: str, value: float, threshold: float) -> Check:
    """Passes where value <= threshold; a NaN fails."""
    return Check(name, value <= threshold, value, threshold)


def at_least(name: str, value: float, threshold: float) -> Check:
    """Passes where value >= threshold; a NaN fails."""
    return Check(name, value >= threshold, value, threshold)


def quality_checks(quality: Mapping[str, Any], thresholds: CheckConfig) -> list[Check]:
    """The checks that a candidate must pass to become current. What could not be measured passes none.

    The loss is not asked of a model that predicts no next token (an encoder): `n_predicted` is None then.
    """
    fvu, dead, recovered = (
        math.nan if quality[name] is None else quality[name] for name in ("fvu", "dead_fraction", "loss_recovered")
    )
    return [
        at_most("fvu_below", fvu, thresholds.fvu),
        at_most("dead_below", dead, thresholds.dead),
        at_least("loss_recovered_above", recovered, thresholds.loss_recovered)
        if quality.get("n_predicted", 0) is not None
        else Check("loss_recovered_above", True, None, thresholds.loss_recovered, NO_LOSS),
    ]


def missed(quality: Mapping[str, Any], thresholds: CheckConfig, current: Mapping[str, Any] | None = None) -> str:
    """The thresholds that a candidate misses, in words; empty where it passes all of them.

    :param current: quality of the current dictionary of the same recipe, which it may not be much worse than
    """
    faults = [str(check) for check in quality_checks(quality, thresholds) if not check.passed]
    if faults or current is None:
        return "; ".join(faults)
    for name, sign in (("fvu", 1), ("dead_fraction", 1), ("loss_recovered", -1)):
        if quality[name] is None or current[name] is None:
            continue  # Nothing to hold against: the model predicts no next token.
        if sign * (quality[name] - current[name]) > thresholds.worse_by:
            faults.append(
                f"{name}: {quality[name]:.4g} is worse than the current dictionary's {current[name]:.4g} "
                f"by more than {thresholds.worse_by:g}"
            )
    return "; ".join(faults)


def specs(asset: str, partitions: dg.PartitionsDefinition | None) -> list[dg.AssetCheckSpec]:
    """The check specs of an asset; each partition has an outcome of its own.

    Dagster says of these on every start that partitions of checks are a preview.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PreviewWarning)
        return [
            dg.AssetCheckSpec(name, asset=asset, description=text, partitions_def=partitions)
            for name, text in CHECKS.get(asset, {}).items()
        ]
