"""Simulation: does a model that knows the label alone predict how active the feature is, token by token?

Towards Monosemanticity, appendix "Automated Interpretability", with the activations of a window asked all at once:
for each token a whole number from 0 to 10, 10 being the feature's maximum. Windows, all held out, as far as a feature
has that many: 6 of the strongest, 2 from each of 12 equal intervals between 0 and the maximum, 10 random, 20 out of
context.

score = Spearman's rank correlation of predicted and true activations over all tokens of the windows that were
answered, weighted by importance; 1 is best, 0 is chance, below 0 worse. The sample holds more strong windows than the
corpus does: an active window weighs the share of its tenth of the maximum among random draws of the feature's
activations, over the tenth's share among the active windows of the sample. Silent windows weigh 1: they are a third
of the paper's sample, not the greater part of the corpus, beside which no active one would count. No score where all
predictions, or all truths, are equal. n is the number of windows.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sae.labels.judges.judge import Batch, Judge, Judged, Score, batched, read_numbers, tenth
from sae.labels.quoting import quoted
from sae.labels.reply import read_object

TOP, INTERVALS, PER_INTERVAL, RANDOM, SILENT = 6, 12, 2, 10, 20
HIGHEST = 10
_LEVELS = "levels"


class Simulated(NamedTuple):
    """A window whose activations are predicted."""

    tokens: Sequence[str]
    activations: Sequence[float]
    tenth: int | None
    """Tenth of the maximum in which the activation at its place lies, 0 to 9; None where it is silent."""


def simulation_batches(judged: Judged, seed: int) -> list[Batch]:
    """The paper's windows, shuffled, each token with its number."""
    samples = [
        Simulated(e["tokens"], e["activations"], tenth(e["activation"], judged.largest) if e["activation"] else None)
        for e in _windows(judged)
    ]
    judged.random(seed).shuffle(samples)
    return batched(samples, _numbered)


def read_levels(batch: Batch, text: str) -> list[list[int]]:
    """A list of levels for each window, one for each token. Raises ValueError where the reply is anything else."""
    lists = read_object(text, [_LEVELS])[_LEVELS]
    if not isinstance(lists, list) or len(lists) != len(batch.samples):
        raise ValueError(f"the answer is no list of {len(batch.samples)} lists")
    return [
        read_numbers(levels, len(sample.tokens), 0, HIGHEST)
        for levels, sample in zip(lists, batch.samples, strict=True)
    ]


def rank_correlation(judged: Judged, answered: Sequence[tuple[Simulated, list[int]]]) -> Score:
    """Weighted Spearman over the tokens of the windows answered."""
    weights = importance([sample.tenth for sample, _ in answered], judged.tenths)
    predicted = np.array([level for _, levels in answered for level in levels], dtype=np.float64)
    true = np.array([a for sample, _ in answered for a in sample.activations], dtype=np.float64)
    each = np.repeat(weights, [len(sample.tokens) for sample, _ in answered])
    kinds = Counter("silent" if sample.tenth is None else "active" for sample, _ in answered)
    details = {"tokens": len(true), "active": kinds["active"], "silent": kinds["silent"]}
    return Score(weighted_spearman(predicted, true, each), len(answered), details)


def importance(tenths: Sequence[int | None], drawn: Mapping[int, int]) -> NDArray[np.float64]:
    """Weight of each window: share of its tenth among random draws over its share among the active windows.

    :param tenths: the tenth of the maximum, 0 to 9, of each window
    :param drawn: how many random draws lie in each tenth
    One draw is added to each tenth of the sample: none that occurs weighs nothing. Silent windows (None) weigh 1.
    """
    sampled = Counter(t for t in tenths if t is not None)
    draws = {t: drawn.get(t, 0) + 1 for t in sampled}
    n, active = sum(draws.values()), sampled.total()
    return np.array([1.0 if t is None else draws[t] / n / (sampled[t] / active) for t in tenths], dtype=np.float64)


def weighted_spearman(a: NDArray[np.float64], b: NDArray[np.float64], weights: NDArray[np.float64]) -> float | None:
    """Pearson correlation, weighted, of weighted mid-ranks; None where either is constant or there are no values.

    The rank of a value is the weight of all smaller ones and half the weight of its equals: with equal weights these
    are Spearman's ranks but for a scale that the correlation does not see.
    """
    if len(a) == 0:
        return None
    x, y = _ranks(a, weights), _ranks(b, weights)
    share = weights / weights.sum()
    x, y = x - share @ x, y - share @ y
    variances = (share @ (x * x)) * (share @ (y * y))
    return float(share @ (x * y) / np.sqrt(variances)) if variances > 1e-18 * weights.sum() ** 4 else None


def _ranks(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    _, at = np.unique(values, return_inverse=True)
    mass = np.bincount(at, weights)
    return (np.cumsum(mass) - mass / 2)[at]


def _windows(judged: Judged) -> list[Mapping[str, Any]]:
    active = judged.active
    top = active[:TOP]
    left = active[TOP:]
    random = [example for example in left if example["kind"] == "random"][:RANDOM]
    rest = [example for example in left if all(example is not other for other in random)]
    of_intervals: list[Mapping[str, Any]] = []
    for number in range(INTERVALS):
        low, high = (judged.largest * at / INTERVALS for at in (number, number + 1))
        of_intervals += [e for e in rest if low < e["activation"] <= high][:PER_INTERVAL]
    return [*top, *of_intervals, *random, *judged.silent[:SILENT]]


def _numbered(sample: Simulated) -> str:
    return "".join(f'<t n="{number}">{quoted(token)}</t>' for number, token in enumerate(sample.tokens, start=1))


SIMULATION = Judge(
    name="simulation",
    prompt_version="simulation-1",
    schema={
        "type": "object",
        "properties": {
            _LEVELS: {
                "type": "array",
                "items": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": HIGHEST}},
            }
        },
        "required": [_LEVELS],
        "additionalProperties": False,
    },
    # Two tokens for each of 25 numbers in each of BATCH lists, and spaces.
    output_tokens=450,
    batches=simulation_batches,
    read=read_levels,
    score=rank_correlation,
)
