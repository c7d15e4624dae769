"""Which of a feature's labels is in force.

A label is written once: a labeler that gives one again that lies in the ledger already (the config went back to it)
renews it, and a renewed label counts as being of that moment.
"""

from datetime import datetime

import polars as pl

from sae.labels.schema import LABEL_RENEWALS

ASKED_BY_NAME = "label-"
"""Begins the run id of labels that somebody asked for feature by feature: whoever labels the others, they stand."""


def current_labels(labels: pl.DataFrame, reviews: pl.DataFrame, renewals: pl.DataFrame) -> pl.DataFrame:
    """The labels in force, one row a feature, sorted by dictionary_id and index; as the catalog's view of that name.

    Those that were rejected are out. Of the others that ended well a person's own wins, then one that a person
    accepted, then a person's that was carried from the dictionary before, then the one given last, then the later
    attempt. The last word on a label counts.

    :param labels: the table `labels`, or some columns of it: label_id, feature_id, dictionary_id, index, labeler,
        origin, status, attempt and created_at at least
    :param reviews: the table `label_reviews`
    :param renewals: the table `label_renewals`
    """
    return (
        labels.filter(pl.col("status") == "ok")
        .join(last_verdicts(reviews), on="label_id", how="left")
        .join(renewals.group_by("label_id").agg(pl.col("renewed_at").max()), on="label_id", how="left")
        .filter(pl.col("verdict").ne_missing("reject"))
        .with_columns(
            own=(pl.col("labeler") == "human") & pl.col("origin").ne_missing("carried"),
            accepted=(pl.col("verdict") == "accept").fill_null(False),
            by_person=pl.col("labeler") == "human",
            given_at=pl.max_horizontal("created_at", "renewed_at"),
        )
        .sort(
            *("own", "accepted", "by_person", "given_at", "attempt", "label_id"),
            descending=[True, True, True, True, True, False],
        )
        .unique("feature_id", keep="first", maintain_order=True)
        .drop("own", "accepted", "by_person", "verdict", "given_at", "renewed_at")
        .sort("dictionary_id", "index")
    )


def renewed(
    given: pl.DataFrame,
    labels: pl.DataFrame,
    reviews: pl.DataFrame,
    renewals: pl.DataFrame,
    run_id: str,
    renewed_at: datetime,
) -> pl.DataFrame:
    """The rows of `label_renewals` that bring into force what a labeler gave.

    Only where another labeler's newer label stands in the way: what people said, what was carried, and what somebody
    asked for by name stay in force.

    :param given: label_id and feature_id of what the labeler gave in this run, written now or long ago
    :param labels: all labels of those features, the given ones among them
    """
    newer = current_labels(labels, reviews, renewals).filter(
        (pl.col("labeler") != "human")
        & pl.col("origin").ne_missing("carried")
        & ~pl.col("run_id").fill_null("").str.starts_with(ASKED_BY_NAME)
        & ~pl.col("label_id").is_in(_accepted(reviews).implode())
    )
    rejected = last_verdicts(reviews).filter(pl.col("verdict") == "reject")["label_id"]
    due = (
        given.join(newer.select("feature_id", in_force="label_id"), on="feature_id")
        .filter((pl.col("label_id") != pl.col("in_force")) & ~pl.col("label_id").is_in(rejected.implode()))
        .select("label_id")
        .unique()
    )
    numbers = due.join(renewals.group_by("label_id").agg(pl.col("renewal").max()), on="label_id", how="left")
    return numbers.select(
        "label_id",
        (pl.col("renewal").fill_null(0) + 1).cast(pl.Int32),
        run_id=pl.lit(run_id),
        renewed_at=pl.lit(renewed_at).cast(LABEL_RENEWALS["renewed_at"]),
    ).sort("label_id")


def _accepted(reviews: pl.DataFrame) -> pl.Series:
    return last_verdicts(reviews).filter(pl.col("verdict") == "accept")["label_id"]


def last_verdicts(reviews: pl.DataFrame) -> pl.DataFrame:
    """What the last review of each label says: label_id, verdict."""
    return (
        reviews.sort("created_at", "review_id", descending=[True, False])
        .unique("label_id", keep="first", maintain_order=True)
        .select("label_id", "verdict")
    )
