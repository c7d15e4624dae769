"""Which examples a labeler is shown, and which are kept back for the scorers."""

import polars as pl

HELD_OUT_ONE_IN = 2


def split_examples(examples: pl.DataFrame) -> pl.DataFrame:
    """The examples with a column `use`: held_out for one in two by the hash in their id, shown for the others.

    A feature's strongest example is always shown, so that no live feature is without one. The split depends on nothing
    but the examples: every labeler of a dictionary is shown the same ones, and scores are comparable.
    """
    digits = pl.col("example_id").str.slice(-6).str.to_integer(base=16)
    strongest = (pl.col("kind") == "top") & (pl.col("rank") == 1)
    held_out = (digits % HELD_OUT_ONE_IN == 0) & ~strongest
    return examples.with_columns(use=pl.when(held_out).then(pl.lit("held_out")).otherwise(pl.lit("shown")))
