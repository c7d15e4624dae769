"""Which features to show first: a rule that ranks them by how well they are known, not by how well they look."""

import polars as pl

CONCEPT_F1 = 0.5
"""From this F1 on (slice `all`) a feature counts as standing for a concept."""


def best_known(
    features: pl.DataFrame, concept_scores: pl.DataFrame, labels: pl.DataFrame, label_scores: pl.DataFrame, count: int
) -> pl.DataFrame:
    """The `count` best-known live features, best first.

    1. Features that stand for a concept (`CONCEPT_F1` or more on slice `all`), by F1, then by the number of mentions
       that it was measured on. A feature that is best for several concepts is shown for the one it fits best.
    2. Then the other labelled ones, by the mean score of their current label, then by density (often active first).
    3. Then the rest, by density. Ties end at the smaller (dictionary_id, index).
    Takes the tables `features`, `concept_scores`, current labels and `label_scores`; returns feature_id, dictionary_id,
    index, label, concept_id, f1, label_score, density and basis (`concept`, `label` or `density`).
    """
    concept = (
        concept_scores.filter(pl.col("slice") == "all", pl.col("f1") >= CONCEPT_F1)
        .sort(["f1", "n", "concept_id"], descending=[True, True, False])
        .unique("feature_id", keep="first", maintain_order=True)
        .select("feature_id", "concept_id", "f1", "n")
    )
    scores = label_scores.group_by("label_id").agg(label_score=pl.col("score").mean())
    labelled = labels.join(scores, on="label_id", how="left").select("feature_id", "label", "label_score")
    ranked = (
        features.filter(~pl.col("is_dead"))
        .select("feature_id", "dictionary_id", "index", "density")
        .join(concept, on="feature_id", how="left")
        .join(labelled.unique("feature_id", keep="last", maintain_order=True), on="feature_id", how="left")
        .with_columns(
            basis=pl.when(pl.col("f1").is_not_null())
            .then(pl.lit("concept"))
            .when(pl.col("label_score").is_not_null())
            .then(pl.lit("label"))
            .otherwise(pl.lit("density"))
        )
        .sort(
            ["f1", "n", "label_score", "density", "dictionary_id", "index"],
            descending=[True, True, True, True, False, False],
            nulls_last=True,
        )
    )
    return ranked.head(count).select(
        "feature_id", "dictionary_id", "index", "label", "concept_id", "f1", "label_score", "density", "basis"
    )


def best_concepts(concept_scores: pl.DataFrame, names: pl.DataFrame) -> pl.DataFrame:
    """The concept that each feature stands for, with what it is called: feature_id, concept_id, names list[str].

    A feature stands for the concept that it fits best, with `CONCEPT_F1` or more on slice `all`. `names` has the
    schema `truth.NAMES`; concepts without a name there (a relation, an operation) are left out.
    """
    best = (
        concept_scores.filter(pl.col("slice") == "all", pl.col("f1") >= CONCEPT_F1)
        .sort(["f1", "n", "concept_id"], descending=[True, True, False])
        .unique("feature_id", keep="first", maintain_order=True)
    )
    called = names.group_by("concept_id", maintain_order=True).agg(pl.col("name").unique(maintain_order=True))
    return best.join(called, on="concept_id").select("feature_id", "concept_id", names="name")
