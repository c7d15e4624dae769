"""How often does a match between two versions of a dictionary connect features that stand for different entities?

Where a corpus knows its truth, each feature of either version has the entity that it finds best: entity and threshold
of highest F1 on one half of the held-out documents. It stands for it where the F1 on the other half is `CONCEPT_F1` or
more. A match is wrong where both of its features stand for an entity and these differ.

The control exchanges partners: among matches of like cosine (blocks of ten in order of the cosine) each new feature is
paired with every other's old one, so that what is left of the rate is what the cosine's size alone would give.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from sae.activations.shard import ActivationShard
from sae.dictionaries.dictionary import Dictionary
from sae.evaluation.best_known import CONCEPT_F1
from sae.evaluation.concepts import LEVELS, count, firing, kept_at, read_codes
from sae.evaluation.measures import Measure, share
from sae.evaluation.truth import ALL, Truth, build_truth
from sae.features.matches import CARRIED, CORRELATED

MATCH_ERRORS = {"carried": "match_error_rate", "split": "match_error_rate_split", "merged": "match_error_rate_merged"}
"""The metric for each status."""
_BLOCK = 10
_NOBODY = -1


@dataclass(frozen=True, eq=False)
class Entities:
    """What the F features of a dictionary stand for."""

    of: np.ndarray
    """int64 [F]: index of the entity among the truth's concepts; −1 where it stands for none."""
    unsure: float
    """Of the features that stand for one, the share for which the other half of the documents names another."""


def match_measures(
    matches: pl.DataFrame,
    current: Dictionary,
    previous: Dictionary,
    shards: Sequence[ActivationShard],
    documents: pl.DataFrame,
    names: pl.DataFrame,
    seed: int,
) -> list[Measure]:
    """The error rate of each status (`MATCH_ERRORS`), and `match_missed_rate`: of the old features whose entity a new
    feature stands for too, the share that no match leads to such a feature. Empty where the documents name nothing.

    :param matches: the table `feature_matches` between the two
    :param shards: held-out activations, which both dictionaries read
    :param documents: the documents of these shards, with their mentions
    :param names: what entities are called (`truth.NAMES`); other concepts are left out
    """
    if not documents["mentions"].list.len().sum():
        return []
    documents = documents.unique("document_id", keep="first", maintain_order=True)
    truth = build_truth(documents, pl.concat([shard.tokens for shard in shards]), seed, names)
    is_entity = np.isin(truth.concepts, names["concept_id"].unique().to_list())
    new, old = (entities(truth, read_codes(one, shards), is_entity) for one in (current, previous))
    pairs = matches.drop_nulls(["feature_id", "previous_feature_id"]).select(
        pl.col("index"), _index_of("previous_feature_id").alias("old"), "cosine", "status"
    )
    return [
        *(_error(status, pairs.filter(status=status), new, old) for status in MATCH_ERRORS),
        _missed(pairs, new, old),
    ]


def entities(truth: Truth, codes: csr_array, is_entity: np.ndarray) -> Entities:
    """What each feature stands for. `codes` float [n, F] of the truth's rows, `is_entity` bool [C]."""
    codes = kept_at(codes, truth.readable)
    maximum = kept_at(codes, truth.choosing[truth.row_document]).max(axis=0).toarray().ravel()
    first, thresholds = _best(truth, codes, maximum, is_entity, choosing=True)
    again, _ = _best(truth, codes, maximum, is_entity, choosing=False)
    f1 = count(truth, firing(codes, thresholds), choosing=False, part=ALL).f1
    stands = f1[first, np.arange(len(first))] >= CONCEPT_F1
    differ = (first != again)[stands]
    return Entities(np.where(stands, first, _NOBODY), float(differ.mean()) if differ.size else 0.0)


def _best(
    truth: Truth, codes: csr_array, maximum: np.ndarray, is_entity: np.ndarray, choosing: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The entity of highest F1 on one half for each feature, and the threshold with which it is that."""
    n = len(maximum)
    highest, concept, thresholds = np.full(n, -1.0), np.zeros(n, dtype=np.int64), np.zeros(n)
    for level in sorted(LEVELS):
        f1 = count(truth, firing(codes, level * maximum), choosing=choosing, part=ALL).f1 * is_entity[:, None]
        leading = f1.argmax(axis=0)
        reached = f1[leading, np.arange(n)]
        better = reached > highest
        highest[better], concept[better] = reached[better], leading[better]
        thresholds[better] = (level * maximum)[better]
    return concept, thresholds


def _error(status: str, pairs: pl.DataFrame, new: Entities, old: Entities) -> Measure:
    ordered = pairs.sort("cosine", "index", "old", descending=[True, False, False])
    ours, theirs = new.of[ordered["index"].to_numpy()], old.of[ordered["old"].to_numpy()]
    both = (ours != _NOBODY) & (theirs != _NOBODY)
    measure = share(
        MATCH_ERRORS[status],
        int((ours != theirs)[both].sum()),
        int(both.sum()),
        f"{status} features that stand for an entity in both versions",
        control="partners exchanged among matches of like cosine",
        least_cosine=CARRIED,
        least_correlation=CORRELATED,
        matches=pairs.height,
        only_the_old_stands_for_one=int(((ours == _NOBODY) & (theirs != _NOBODY)).sum()),
        unsure={"new": new.unsure, "old": old.unsure},
    )
    return replace(measure, control=_exchanged(ours[both], theirs[both]))


def _exchanged(ours: np.ndarray, theirs: np.ndarray) -> float | None:
    """Share of differing entities where each of `ours` meets every other's of `theirs` in blocks; both in order."""
    differing, met = 0, 0
    for start in range(0, len(ours), _BLOCK):
        block = ours[start : start + _BLOCK, None] != theirs[None, start : start + _BLOCK]
        differing += int(block.sum() - np.trace(block))
        met += block.size - len(block)
    return differing / met if met else None


def _missed(pairs: pl.DataFrame, new: Entities, old: Entities) -> Measure:
    known = np.flatnonzero((old.of != _NOBODY) & np.isin(old.of, new.of[new.of != _NOBODY]))
    rows = zip(pairs["index"].to_list(), pairs["old"].to_list(), strict=True)
    found = {j for i, j in rows if new.of[i] == old.of[j] != _NOBODY}
    missed = sum(int(j) not in found for j in known)
    return share(
        "match_missed_rate", missed, len(known), "old features that stand for an entity for which a new one stands too"
    )


def _index_of(feature_id: str) -> pl.Expr:
    return pl.col(feature_id).str.split(":").list.last().cast(pl.Int64)
