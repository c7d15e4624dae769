"""What the features of a dictionary make of single concepts of a list: specificity, absorption and splitting.

All of one concept, on the activations of its own texts; `sae.evaluation.listed_concepts` draws them together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sae.evaluation.concepts import LEVELS

QUARTERS = 4
GAIN = 0.03
"""F1 that a further feature must add to count (τ of Chanin et al. 2024, §4.2)."""
MOST = 5
"""Features that are joined at most."""
ABSORBING_COSINE = 0.025
"""Least cosine of an absorbing feature with the concept's direction (Chanin et al. 2024, §4.3)."""
TWICE = 2
"""Texts that an absorbing feature is known from: once is chance."""


@dataclass(frozen=True, eq=False)
class Listed:
    """One concept's texts: activations of the features that are active on any of them."""

    activations: np.ndarray
    """float32 [t, f]: largest activation on each text."""
    positive: np.ndarray
    """bool [t]."""
    choosing: np.ndarray
    """bool [t]."""
    features: np.ndarray
    """int64 [f]: which latents the columns are."""


def specificity(concept: Listed, feature: int) -> tuple[float | None, np.ndarray]:
    """Of the scoring half's texts on which the feature is active, the share that shows the concept.

    Scaling Monosemanticity ("Assessing feature specificity") has a model rate it, by level of activation; here it is
    known. Returns the share (None where it is never active) and counts int64 [QUARTERS, 2]: (texts that show it, all)
    by quarter of the largest activation on the choosing half, stronger ones in the last.
    """
    column = _column(concept, feature)
    scoring = ~concept.choosing & (column > 0)
    maximum = column[concept.choosing].max(initial=0.0)
    quarter = np.minimum((column * QUARTERS / maximum).astype(int) if maximum else column.astype(int), QUARTERS - 1)
    counts = np.zeros((QUARTERS, 2), dtype=np.int64)
    for column_of, texts in enumerate((scoring & concept.positive, scoring)):
        counts[:, column_of] = np.bincount(quarter[texts], minlength=QUARTERS)
    return (float(counts[:, 0].sum() / counts[:, 1].sum()) if scoring.any() else None), counts


def absorbed(concept: Listed, feature: int, cosines: np.ndarray) -> tuple[int, int, int]:
    """Positive texts of the scoring half: absorbed, silent, all.

    Chanin et al. 2024 ("A is for Absorption", §4.3): the concept is there, its feature is silent, and a more special
    feature that holds the concept's direction fires in its stead. A text is absorbed where the feature has activation
    0 and another is active that (a) on the choosing half is active on `TWICE` texts or more that show the concept and
    on no other, and (b) has a decoder cosine of `ABSORBING_COSINE` or more with it. Chanin et al. take the direction of
    a trained probe; here it is the feature's own decoder row, so that nothing is fitted to a few texts.

    :param cosines: [f], of the decoder rows of `concept.features` with the concept's feature
    """
    active = concept.activations > 0
    scored = ~concept.choosing & concept.positive
    silent = scored & (_column(concept, feature) <= 0)
    shown, others = concept.choosing & concept.positive, concept.choosing & ~concept.positive
    special = (active[shown].sum(axis=0) >= TWICE) & ~active[others].any(axis=0) & (cosines >= ABSORBING_COSINE)
    special &= concept.features != feature
    taken = silent & active[:, special].any(axis=1)
    return int(taken.sum()), int(silent.sum()), int(scored.sum())


def splitting(concept: Listed, levels: Sequence[float] = LEVELS) -> tuple[int, float, float]:
    """How many features share the concept, and the F1 of the first and of all of them on the scoring half.

    The criterion of Chanin et al. 2024 (§4.2: a concept is split where one feature more raises F1 by more than τ =
    `GAIN`), with features joined by "any of them fires", as the many San Francisco features of Scaling Monosemanticity
    together are one of the small dictionary. Greedily on the choosing half: the feature and threshold (a level of its
    maximum there) that raise F1 most, `MOST` at most. (0, 0, 0) where no feature is active.
    """
    chosen, positive = concept.activations[concept.choosing], concept.positive[concept.choosing]
    scored, truth = concept.activations[~concept.choosing], concept.positive[~concept.choosing]
    maximum = chosen.max(axis=0, initial=0.0)
    fires, fires_scored = np.zeros(len(chosen), dtype=bool), np.zeros(len(scored), dtype=bool)
    reached, number, first = 0.0, 0, 0.0
    while number < MOST:
        best: tuple[float, int, float] | None = None
        for level in sorted(levels):
            joined = fires[:, None] | (chosen > level * maximum)
            f1 = _f1(joined, positive)
            column = int(f1.argmax()) if len(f1) else -1
            if column >= 0 and (best is None or f1[column] > best[0]):
                best = float(f1[column]), column, level
        if best is None or best[0] <= reached + (GAIN if number else 0):
            break
        reached, column, level = best
        fires |= chosen[:, column] > level * maximum[column]
        fires_scored |= scored[:, column] > level * maximum[column]
        number += 1
        if number == 1:
            first = float(_f1(fires_scored[:, None], truth)[0])
    return number, first, float(_f1(fires_scored[:, None], truth)[0]) if number else 0.0


def _column(concept: Listed, feature: int) -> np.ndarray:
    """float [t]: the feature's activations, 0 where it is active on none of the texts."""
    at = np.flatnonzero(concept.features == feature)
    return concept.activations[:, at[0]] if len(at) else np.zeros(len(concept.positive))


def _f1(fires: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """F1 [f] of firings bool [t, f]."""
    hits = (fires & positive[:, None]).sum(axis=0)
    whole = fires.sum(axis=0) + positive.sum()
    return np.divide(2 * hits, whole, out=np.zeros(len(hits)), where=whole > 0)
