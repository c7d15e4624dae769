"""The one feature that stands for a concept, and how strong it is where the concept is named."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from sae.evaluation.truth import ALL, Truth


@dataclass(frozen=True)
class StandIn:
    """A concept's feature in one dictionary."""

    index: int
    f1: float
    """On slice `all` of the scoring half."""
    own_mention: float
    """Mean over the choosing half's mentions that it fires in, of its largest activation inside the mention."""
    maximum: float
    """Largest activation on the choosing half."""


def stand_ins(truth: Truth, codes: csr_array, concept_scores: pl.DataFrame) -> Mapping[str, StandIn]:
    """concept_id to its feature, as `concept_scores` chose it; `codes` float [n, F] are those of the truth's rows.

    Concepts whose feature fires in no mention of the choosing half are left out. Everything comes from the concept's
    own mentions: a prompt that is scored later has no part in it.
    """
    columns = csr_array(codes).tocsc()
    chosen_rows = truth.choosing[truth.row_document] & truth.readable
    found = {}
    for concept_id, index, f1 in (
        concept_scores.filter(pl.col("slice") == ALL).select("concept_id", "index", "f1").iter_rows()
    ):
        concept = truth.concepts.index(concept_id)
        activation = columns[:, [index]].toarray().ravel() * chosen_rows
        mentions = np.flatnonzero((truth.mention_concept == concept) & truth.choosing[truth.mention_document])
        if not len(mentions):
            continue
        cover = csr_array(truth.cover[mentions])
        strongest = np.maximum.reduceat(activation[cover.indices], cover.indptr[:-1])  # a mention has a row or more
        if (strongest > 0).any():
            found[concept_id] = StandIn(index, f1, float(strongest[strongest > 0].mean()), float(activation.max()))
    return found
