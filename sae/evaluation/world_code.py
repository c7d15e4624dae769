"""What a dictionary makes of code: a feature that adds whatever the function is called, one for each kind of error."""

from dataclasses import replace

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from sae.evaluation.concepts import score_concepts
from sae.evaluation.measures import Measure, mean, share
from sae.evaluation.truth import ALL, CODE, Truth
from sae.world.code import ERRORS, has_misleading_name

ADDITION = "code:addition"
_MISLEADING = "misleading"


def code_measures(
    truth: Truth, codes: csr_array, documents: pl.DataFrame, concept_scores: pl.DataFrame, seed: int
) -> list[Measure]:
    """`addition_f1` and `code_error_f1`.

    The first is the F1 of the feature of addition over the scoring half's programs whose name is another operation's
    (`def sub(a, b): return a + b`); the second the mean over the kinds of error of their features' F1 on code.
    `truth` and `codes` are those of `concept_scores`, `documents` what they were read from, in the same order.
    """
    misleading = np.array([has_misleading_name(text) for text in documents["text"]], dtype=bool)
    relabelled = replace(
        truth,
        row_slice=np.where(misleading[truth.row_document], _MISLEADING, truth.row_slice),
        mention_slice=np.where(misleading[truth.mention_document], _MISLEADING, truth.mention_slice),
    )
    found = score_concepts(relabelled, codes, "").filter(slice=_MISLEADING, concept_id=ADDITION)
    errors = concept_scores.filter(pl.col("slice") == CODE, pl.col("concept_id").is_in([f"code:{e}" for e in ERRORS]))
    any_name = concept_scores.filter(slice=ALL, concept_id=ADDITION)["f1"].to_list()
    addition = (
        Measure("addition_f1", found["f1"][0], found["n"][0], None, None, {"unit": "mentions", "any_name": any_name[0]})
        if len(found)
        else share("addition_f1", 0, 0, "mentions")
    )
    return [addition, mean("code_error_f1", errors["f1"].to_list(), "kinds of error", seed)]
