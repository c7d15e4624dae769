"""Which examples a labeler is shown, and which are kept back for the scorers."""

import polars as pl

from sae.identity import content_id

HELD_OUT_ONE_IN = 2


def split_examples(examples: pl.DataFrame) -> pl.DataFrame:
    """The examples with a column `use`: shown, or held_out, whole documents of a feature together.

    Windows of one document share its words, often the tokens themselves: scored on those, a label would be scored on
    what its writer read. One in two documents of a feature is held out, by the hash of both. The document of the
    feature's strongest example is always shown, so that no live feature is without an example to show. A feature whose
    documents are few may have none held out: then its label has no scores, rather than scores that say too much.

    The split depends on nothing but the examples: every labeler of a dictionary is shown the same ones, and scores are
    comparable.
    """
    pairs = examples.select("feature_id", "document_id").unique()
    halves = pairs.with_columns(apart=pl.Series([keeps_back(*pair) for pair in pairs.iter_rows()], dtype=pl.Boolean))
    strongest = ((pl.col("kind") == "top") & (pl.col("rank") == 1)).any().over("feature_id", "document_id")
    use = pl.when(pl.col("apart") & ~strongest).then(pl.lit("held_out")).otherwise(pl.lit("shown"))
    joined = examples.join(halves, on=["feature_id", "document_id"], how="left", maintain_order="left")
    return joined.with_columns(use=use).drop("apart")


def keeps_back(feature_id: str, document_id: str) -> bool:
    """Whether a document is in the half that a feature's labelers are not shown, its strongest example's apart."""
    return int(content_id([feature_id, document_id])[-6:], 16) % HELD_OUT_ONE_IN == 0
