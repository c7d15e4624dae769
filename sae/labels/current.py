"""Which of a feature's labels is in force."""

import polars as pl


def current_labels(labels: pl.DataFrame, reviews: pl.DataFrame) -> pl.DataFrame:
    """The labels in force, one row a feature, sorted by dictionary_id and index; as the catalog's view of that name.

    Those that were rejected are out. Of the others that ended well a person's own wins, then one that a person
    accepted, then a person's that was carried from the dictionary before, then the newest, then the later attempt. The
    last word on a label counts.

    :param labels: the table `labels`, or some columns of it: label_id, feature_id, dictionary_id, index, labeler,
        origin, status, attempt and created_at at least
    :param reviews: the table `label_reviews`
    """
    return (
        labels.filter(pl.col("status") == "ok")
        .join(last_verdicts(reviews), on="label_id", how="left")
        .filter(pl.col("verdict").ne_missing("reject"))
        .with_columns(
            own=(pl.col("labeler") == "human") & pl.col("origin").ne_missing("carried"),
            accepted=(pl.col("verdict") == "accept").fill_null(False),
            by_person=pl.col("labeler") == "human",
        )
        .sort(
            *("own", "accepted", "by_person", "created_at", "attempt", "label_id"),
            descending=[True, True, True, True, True, False],
        )
        .unique("feature_id", keep="first", maintain_order=True)
        .drop("own", "accepted", "by_person", "verdict")
        .sort("dictionary_id", "index")
    )


def last_verdicts(reviews: pl.DataFrame) -> pl.DataFrame:
    """What the last review of each label says: label_id, verdict."""
    return (
        reviews.sort("created_at", "review_id", descending=[True, False])
        .unique("label_id", keep="first", maintain_order=True)
        .select("label_id", "verdict")
    )
