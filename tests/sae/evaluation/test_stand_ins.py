import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_array

from sae.evaluation.concepts import CONCEPT_SCORES
from sae.evaluation.stand_ins import stand_ins
from sae.evaluation.truth import Truth


def truth_of(n_rows: int, mentions: list[tuple[int, list[int]]], choosing: list[bool]) -> Truth:
    """One concept; a document a row; each mention is (document, its rows)."""
    cover = np.zeros((len(mentions), n_rows), dtype=bool)
    for number, (_, rows) in enumerate(mentions):
        cover[number, rows] = True
    return Truth(
        concepts=["x"],
        readable=np.ones(n_rows, dtype=bool),
        row_document=np.arange(n_rows),
        row_slice=np.array(["en"] * n_rows),
        cover=csr_array(cover),
        mention_concept=np.zeros(len(mentions), dtype=np.int64),
        mention_document=np.array([document for document, _ in mentions]),
        mention_slice=np.array(["en"] * len(mentions)),
        naming=csr_array(np.ones((1, n_rows), dtype=bool)),
        choosing=np.array(choosing),
    )


def scores_of(index: int) -> pl.DataFrame:
    return pl.DataFrame([("x", "d", f"d:{index}", index, "all", 1.0, 1.0, 0.8, 2)], schema=CONCEPT_SCORES, orient="row")


def test_strength_is_the_mean_over_the_choosing_mentions_that_it_fires_in():
    truth = truth_of(5, [(0, [0]), (1, [1]), (2, [2]), (4, [4])], choosing=[True, True, True, True, False])
    codes = csr_array(np.array([[0, 2.0], [0, 4.0], [0, 0], [0, 9.0], [0, 50.0]]))

    found = stand_ins(truth, codes, scores_of(1))["x"]

    assert (found.index, found.f1) == (1, 0.8)
    assert found.own_mention == pytest.approx(3.0)  # the third mention is silent, the fifth is not of this half
    assert found.maximum == pytest.approx(9.0)  # anywhere on the choosing half


def test_a_feature_that_no_own_mention_wakes_stands_for_nothing():
    truth = truth_of(2, [(0, [0]), (1, [1])], choosing=[True, False])

    assert stand_ins(truth, csr_array(np.array([[0.0, 1.0], [5.0, 1.0]])), scores_of(0)) == {}
