"""Does one feature stand for a concept? Chosen on one half of the held-out documents, scored on the other.

For concept c and feature i, which fires where its activation is above a threshold:
    TP = mentions of c with a firing of i anywhere inside       FN = the other mentions of c
    FP = positions at which i fires in documents that do not name c
    precision = TP / (TP + FP), recall = TP / (TP + FN), F1 their harmonic mean; 0 where a denominator is 0.
A false firing counts once a position, a mention once whatever its length: the strict reading. Firings outside the
mentions of documents that name c count for nothing (see `truth`).

Feature and threshold are the pair of highest F1 over all slices on the choosing half (the lowest threshold, then the
lowest index among equals); every slice is then scored with that pair: the mentions in the slice, and the false firings
at the slice's own positions. A latent with its threshold is a probe of one dimension: Gurnee et al. 2023 ("Finding
Neurons in a Haystack", k = 1) and Gao et al. 2024 (§4.2); weak activations say less than strong ones (Scaling
Monosemanticity rates specificity by activation level). With `levels=ANY_ACTIVATION` every activation fires.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.sparse import csr_array, vstack

from sae.activations.shard import ActivationShard
from sae.dictionaries.dictionary import Dictionary
from sae.errors import AtlasError
from sae.evaluation.truth import ALL, Truth
from sae.features.codes import code_blocks
from sae.identity import feature_id

LEVELS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Thresholds that are tried, as shares of a feature's maximal activation on the choosing half."""
ANY_ACTIVATION = (0.0,)
"""No threshold: the stricter reading, reported beside the other."""
CONCEPT_SCORES = pl.Schema(
    {
        "concept_id": pl.String,
        "dictionary_id": pl.String,
        "feature_id": pl.String,
        "index": pl.Int32,
        "slice": pl.String,
        "precision": pl.Float64,
        "recall": pl.Float64,
        "f1": pl.Float64,
        "n": pl.Int64,
    }
)


@dataclass(frozen=True, eq=False)
class Counts:
    """TP and FP of every concept and feature, int64 [C, F], and the number of mentions, int64 [C]."""

    hits: np.ndarray
    false: np.ndarray
    mentions: np.ndarray

    @property
    def precision(self) -> np.ndarray:
        """float64 [C, F]."""
        return _ratio(self.hits, self.hits + self.false)

    @property
    def recall(self) -> np.ndarray:
        """float64 [C, F]."""
        return _ratio(self.hits, np.broadcast_to(self.mentions[:, None], self.hits.shape))

    @property
    def f1(self) -> np.ndarray:
        """float64 [C, F]: 2 TP / (2 TP + FP + FN)."""
        return _ratio(2 * self.hits, self.hits + self.false + self.mentions[:, None])


@dataclass(frozen=True, eq=False)
class Choice:
    """What stands for each of C concepts."""

    features: np.ndarray
    """int64 [C]; −1 for concepts that the choosing half does not mention."""
    thresholds: np.ndarray
    """float64 [C]: the feature fires where its activation is above it."""


def read_codes(dictionary: Dictionary, shards: Sequence[ActivationShard]) -> csr_array:
    """The sparse activations of every row of some shards, float [n, F]."""
    return csr_array(vstack([block.codes for block in code_blocks(shards, dictionary, reach=0)], format="csr"))


def score_concepts(
    truth: Truth, codes: csr_array, dictionary_id: str, levels: Sequence[float] = LEVELS
) -> pl.DataFrame:
    """`concept_scores`: for every concept with mentions in both halves, a row for each slice that has mentions.

    `codes` float [n, F] are the sparse activations of the truth's rows; `n` of a row counts its mentions.
    """
    n_rows = len(codes.indptr) - 1
    if n_rows != len(truth.readable):
        raise AtlasError(f"{n_rows} rows of activations for {len(truth.readable)} tokens: they must match.")
    codes = kept_at(codes, truth.readable)
    choice = choose_features(truth, codes, levels)
    kept = np.flatnonzero(choice.features >= 0)
    columns = firing(csr_array(codes[:, choice.features[kept]]), choice.thresholds[kept])
    rows = []
    for name in [ALL, *sorted(set(truth.mention_slice.tolist()))]:
        counts = count(truth, columns, choosing=False, part=name)
        precision, recall, f1 = counts.precision, counts.recall, counts.f1
        for column, concept in enumerate(kept):
            if counts.mentions[concept]:
                index = int(choice.features[concept])
                rows.append(
                    {
                        "concept_id": truth.concepts[concept],
                        "dictionary_id": dictionary_id,
                        "feature_id": feature_id(dictionary_id, index),
                        "index": index,
                        "slice": name,
                        "precision": precision[concept, column],
                        "recall": recall[concept, column],
                        "f1": f1[concept, column],
                        "n": int(counts.mentions[concept]),
                    }
                )
    return pl.DataFrame(rows, schema=CONCEPT_SCORES).sort("index", "concept_id", "slice")


def choose_features(truth: Truth, codes: csr_array, levels: Sequence[float] = LEVELS) -> Choice:
    """The feature and threshold of highest F1 on the choosing half for each concept. `codes` float [n, F]."""
    maximum = kept_at(codes, truth.choosing[truth.row_document]).max(axis=0).toarray().ravel()
    best = np.full(len(truth.concepts), -1.0)
    features, thresholds = np.full(len(best), -1, dtype=np.int64), np.zeros(len(best))
    for level in sorted(levels):
        counts = count(truth, firing(codes, level * maximum), choosing=True, part=ALL)
        f1 = counts.f1
        leading = f1.argmax(axis=1)
        reached = f1[np.arange(len(best)), leading]
        better = (reached > best) & (counts.mentions > 0)
        best[better], features[better] = reached[better], leading[better]
        thresholds[better] = (level * maximum)[leading[better]]
    return Choice(features, thresholds)


def count(truth: Truth, active: csr_array, choosing: bool, part: str) -> Counts:
    """Counts over one half of the documents and one slice (`all`, `image`, `code` or a language)."""
    half = truth.choosing == choosing
    in_rows = half[truth.row_document]
    in_mentions = half[truth.mention_document]
    if part != ALL:
        in_rows &= truth.row_slice == part
        in_mentions &= truth.mention_slice == part
    n_concepts, n_documents = len(truth.concepts), len(truth.choosing)
    mentions = np.flatnonzero(in_mentions)
    hit = csr_array(truth.cover[mentions] @ active)  # products of booleans are logical: once a mention
    rows = np.flatnonzero(in_rows)
    fired = _sum_rows(csr_array(active[rows]), truth.row_document[rows], n_documents)
    in_naming = csr_array(truth.naming.astype(np.int32) @ fired).toarray()
    return Counts(
        hits=_sum_rows(hit, truth.mention_concept[mentions], n_concepts).toarray().astype(np.int64),
        false=np.asarray(fired.sum(axis=0), dtype=np.int64)[None, :] - in_naming,
        mentions=np.bincount(truth.mention_concept[mentions], minlength=n_concepts),
    )


def kept_at(codes: csr_array, rows: np.ndarray) -> csr_array:
    """The codes at some rows, bool [n], and nothing at the others."""
    return _nonzero(codes.data * np.repeat(rows, np.diff(codes.indptr)), codes)


def firing(codes: csr_array, thresholds: np.ndarray) -> csr_array:
    """bool [n, F]: where the codes exceed their feature's threshold [F]."""
    return _nonzero(codes.data > thresholds[codes.indices], codes)


def _nonzero(values: np.ndarray, codes: csr_array) -> csr_array:
    """Other values at the entries of `codes`, without those that are zero."""
    kept = csr_array((values, codes.indices, codes.indptr), shape=codes.shape, copy=True)
    kept.eliminate_zeros()
    return kept


def _sum_rows(active: csr_array, groups: np.ndarray, n_groups: int) -> csr_array:
    """int32 [n_groups, F]: in how many rows of each group each feature is active; `groups` [n]."""
    ones = np.ones(len(groups), dtype=np.int32)
    selector = csr_array((ones, (groups, np.arange(len(groups)))), shape=(n_groups, len(groups)))
    return csr_array(selector @ active.astype(np.int32))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(np.broadcast_shapes(part.shape, whole.shape)), where=whole > 0)
