"""Concept scores drawn together: mean F1 of a kind, and landmarks whose one feature holds in every language."""

from collections.abc import Sequence

import polars as pl

from sae.evaluation.measures import Measure, mean, share
from sae.evaluation.truth import ALL, CODE, IMAGE

F1_KINDS = ("state", "city", "team")
HOLDS = 0.75
"""F1 from which a feature holds in a slice."""


def concept_summaries(concept_scores: pl.DataFrame, concepts: pl.DataFrame, seed: int) -> list[Measure]:
    """`state_f1`, `city_f1`, `team_f1`, `landmark_languages` and `landmark_one_feature` of one dictionary.

    The first three: mean over the kind's concepts of the F1 on slice `all`. `landmark_languages`: share of landmarks
    whose feature has F1 ≥ `HOLDS` in each language in which any landmark was scored; `landmark_one_feature`: and on
    pictures, where there are any. A landmark without mentions in one of these slices does not count as holding there.
    `concepts` is the table (concept_id, name, kind); kinds without a score give no row.
    """
    scores = concept_scores.join(concepts.select("concept_id", "kind"), on="concept_id", how="inner")
    measures = [
        mean(f"{kind}_f1", part["f1"].to_list(), "concepts", seed, fires="above the threshold chosen with the feature")
        for kind in F1_KINDS
        if len(part := scores.filter(pl.col("kind") == kind, pl.col("slice") == ALL))
    ]
    landmarks = scores.filter(pl.col("kind") == "landmark")
    if len(landmarks):
        languages = sorted(set(landmarks["slice"]) - {ALL, CODE, IMAGE})
        measures.append(_holding("landmark_languages", landmarks, languages))
        if IMAGE in set(landmarks["slice"]):
            measures.append(_holding("landmark_one_feature", landmarks, [*languages, IMAGE]))
    return measures


def _holding(metric: str, scores: pl.DataFrame, slices: Sequence[str]) -> Measure:
    total = scores["concept_id"].n_unique()
    holding = scores.filter(pl.col("slice").is_in(list(slices)), pl.col("f1") >= HOLDS)
    complete = holding.group_by("concept_id").len().filter(pl.col("len") == len(slices))
    by_slice = {name: holding.filter(pl.col("slice") == name)["concept_id"].n_unique() for name in slices}
    return share(metric, len(complete), total, "landmarks", f1_at_least=HOLDS, slices=list(slices), by_slice=by_slice)
