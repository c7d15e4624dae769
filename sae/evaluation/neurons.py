"""Features against neurons: labels and their scores side by side, and direct effects on the logits."""

import numpy as np
import polars as pl
from numpy.typing import NDArray
from torch import Tensor

from sae.evaluation.intervals import bootstrap_mean
from sae.evaluation.measures import Measure

_BLOCK = 256


def label_comparison(
    labels: pl.DataFrame, scores: pl.DataFrame, neuron_labels: pl.DataFrame, neuron_scores: pl.DataFrame, seed: int
) -> list[Measure]:
    """`label_<scorer>` for each scorer of both: mean score of the features' labels; the control is the neurons' mean.

    Bricken et al. 2023, "Towards Monosemanticity", "Automated interpretability - activations" compares the scores of
    explanations of features and of neurons. Scores count for the label in force of each feature alone: the last of its
    labels that the tables `labels` hold. The details hold both intervals and both means of the labelers' confidence.
    """
    ours, theirs = _by_scorer(labels, scores), _by_scorer(neuron_labels, neuron_scores)
    measures = []
    for scorer in sorted(ours.keys() & theirs.keys()):
        of, its = ours[scorer], theirs[scorer]
        measures.append(
            Measure(
                f"label_{scorer}",
                float(of.mean()),
                len(of),
                bootstrap_mean(of, seed),
                float(its.mean()),
                {
                    "unit": "labels",
                    "interval": "bootstrap",
                    "control": "neurons",
                    "n_neurons": len(its),
                    "neurons_ci": bootstrap_mean(its, seed),
                    "median": float(np.median(of)),
                    "neurons_median": float(np.median(its)),
                    "confidence": labels["confidence"].mean(),
                    "neurons_confidence": neuron_labels["confidence"].mean(),
                },
            )
        )
    return measures


def logit_median(directions: Tensor, readout: Tensor) -> Measure:
    """`logit_median`: the largest absolute median over the vocabulary of a feature's logit weights, as published.

    Bricken et al. 2023, "Towards Monosemanticity", "Logit weights": d_i W_down π L W_U, shifted to median 0, since a
    constant added to all logits changes no probability. The control is the same before the shift.
    `directions` [n, d] are unit decoder rows, `readout` [v, d].
    """
    before = after = 0.0
    for block in directions.split(_BLOCK):
        weights = block.to(readout.device) @ readout.T.float()
        medians = weights.median(dim=1, keepdim=True).values
        before = max(before, float(medians.abs().max()))
        after = max(after, float((weights - medians).median(dim=1).values.abs().max()))
    details = {"unit": "live features", "control": "before the shift"}
    return Measure("logit_median", after if len(directions) else None, len(directions), None, before, details)


def _by_scorer(labels: pl.DataFrame, scores: pl.DataFrame) -> dict[str, NDArray[np.float64]]:
    last = labels.unique("feature_id", keep="last", maintain_order=True)
    held = scores.join(last, on="label_id", how="semi").drop_nulls("score")
    return {str(name): group["score"].to_numpy() for (name,), group in held.group_by("scorer", maintain_order=True)}
