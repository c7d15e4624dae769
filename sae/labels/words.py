"""The words of a corpus and how often each occurs: what the words of a feature's examples are compared with."""

from collections.abc import Iterable

import numpy as np
import polars as pl

from sae.features.examples import spelled
from sae.labels.pieces import named, read_pieces


def count_words(tokens: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Count the words of a corpus: frame word (lower case), language, modality, n; special and massive tokens left out.

    :param tokens: the TOKENS frames of its shards
    """
    counts = [_count(frame) for frame in tokens]
    if not counts:
        return pl.DataFrame(schema={"word": pl.String, "language": pl.String, "modality": pl.String, "n": pl.Int64})
    keys = ["word", "language", "modality"]
    return pl.concat(counts).group_by(keys).agg(pl.col("n").sum()).sort(keys)


def _count(tokens: pl.DataFrame) -> pl.DataFrame:
    pieces = read_pieces(spelled(tokens))
    same_document = (tokens["document_id"] == tokens["document_id"].shift(1)).fill_null(False).to_numpy()
    spellings = (
        tokens.select("language", "modality", "special", "massive")
        .with_columns(
            text=pl.Series(pieces.texts, dtype=pl.String)[pieces.codes],
            number=pl.Series(np.cumsum(~(pieces.goes_on & same_document), dtype=np.int64)),
        )
        .filter(~(pl.col("special") | pl.col("massive")))
        .group_by("number", maintain_order=True)
        .agg(pl.col("text").str.join(), pl.col("language", "modality").first())
        .group_by("text", "language", "modality")
        .agg(n=pl.len().cast(pl.Int64))
    )
    words = [named(text).lower() for text in spellings["text"]]
    return spellings.select(pl.Series("word", words, dtype=pl.String), "language", "modality", "n")
