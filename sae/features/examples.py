"""The table `examples`: chosen positions with the tokens and activations around them."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from sae.activations.shard import ActivationShard
from sae.errors import AtlasError
from sae.features.example_sampler import ChosenExamples
from sae.features.frames import feature_columns
from sae.identity import content_id

TOP_TOKENS = 10
"""Length of `top_tokens`."""


def example_frame(
    chosen: ChosenExamples,
    shards: Sequence[ActivationShard],
    dictionary_id: str,
    image_paths: Mapping[str, str],
) -> pl.DataFrame:
    """The table `examples`, sorted by index, kind and rank.

    `tokens` and `activations` are aligned, clipped to the document; joined, the tokens give its text as it was written.
    The position's own place in them is `focus(position, radius)`. Special tokens and massive positions show
    activation 0.
    """
    radius = chosen.windows.shape[1] // 2
    numbered = chosen.rows.with_row_index("at")
    parts = []
    offset = 0
    for shard in shards:
        n = len(shard.tokens)
        rows = numbered.filter(pl.col("row").is_between(offset, offset + n - 1)).with_columns(pl.col("row") - offset)
        parts.append(_with_windows(rows, shard.tokens, chosen.windows[rows["at"].to_numpy()], radius))
        offset += n
    rows = pl.concat(parts).sort("at")
    names = pl.DataFrame(feature_columns(dictionary_id, rows["feature"].to_numpy()))
    ids = [content_id(list(key)) for key in zip(names["feature_id"], *(rows[c] for c in _IDENTITY), strict=True)]
    pictures = [image_paths.get(document) for document in rows["document_id"]]
    return pl.DataFrame(
        [
            pl.Series("example_id", ids, dtype=pl.String),
            *names.get_columns(),
            *rows.select("kind", "rank", "bin", "document_id", "position").get_columns(),
            rows["value"].alias("activation"),
            *rows.select("tokens", "activations", "language", "modality").get_columns(),
            pl.Series("image_path", pictures, dtype=pl.String),
        ]
    )


_IDENTITY = ("document_id", "position", "from", "to")


def focus(position: pl.Expr, radius: int) -> pl.Expr:
    """Place of an example's own position in its lists: positions are counted from 0 at the document's start."""
    return pl.min_horizontal(position, pl.lit(radius, pl.Int32))


def top_tokens(examples: pl.DataFrame, d_sae: int, radius: int) -> pl.Series:
    """The tokens at the examples' positions with the largest sum of activations, strongest first: list[str] [d_sae]."""
    ranked = (
        examples.filter(pl.col("activation") > 0)
        .select(
            "index", "activation", token=pl.col("tokens").list.get(focus(pl.col("position"), radius)).str.strip_chars()
        )
        .filter(pl.col("token") != "")
        .group_by("index", "token")
        .agg(pl.col("activation").sum())
        .sort("index", "activation", "token", descending=[False, True, False])
        .group_by("index", maintain_order=True)
        .agg(pl.col("token").head(TOP_TOKENS))
    )
    every = pl.DataFrame({"index": np.arange(d_sae, dtype=np.int32)}).join(ranked, on="index", how="left").sort("index")
    return every["token"].fill_null(pl.Series([[]], dtype=pl.List(pl.String))).alias("top_tokens")


def spelled(tokens: pl.DataFrame) -> pl.Series:
    """The tokens of a shard, with a space before those that stand apart from the one before them in the text.

    Some tokenizers keep the space in the token, some (word-level ones) leave it out: here all tell words apart.
    """
    apart = (
        (pl.col("start") > pl.col("end").shift(1))
        & (pl.col("document_id") == pl.col("document_id").shift(1))
        & ~pl.col("token").str.contains(r"^\s")
    ).fill_null(False)
    return tokens.select(pl.when(apart).then(" " + pl.col("token")).otherwise(pl.col("token")).alias("token"))["token"]


def _with_windows(rows: pl.DataFrame, tokens: pl.DataFrame, windows: NDArray[np.float32], radius: int) -> pl.DataFrame:
    first, last = _document_ends(tokens)
    row = rows["row"].to_numpy()
    low, high = np.maximum(row - radius, first[row]), np.minimum(row + radius, last[row])
    lengths = high - low + 1
    ends = np.cumsum(lengths)
    # Row numbers of all windows, one after the other.
    flat = np.arange(lengths.sum()) + np.repeat(low - ends + lengths, lengths)
    column = flat - np.repeat(row - radius, lengths)
    values = windows[np.repeat(np.arange(len(row)), lengths), column]
    offsets = pa.array(np.concatenate([[0], ends]), pa.int64())
    spelling = spelled(tokens).gather(flat).to_arrow()
    position = tokens["position"].to_numpy()
    return rows.with_columns(
        *tokens.select("document_id", "position", "language", "modality")[row].get_columns(),
        pl.Series("from", position[low]),
        pl.Series("to", position[high]),
        pl.Series("tokens", pa.LargeListArray.from_arrays(offsets, spelling)),
        pl.Series("activations", pa.LargeListArray.from_arrays(offsets, pa.array(values))),
    )


def _document_ends(tokens: pl.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last row of the document of every row, [n] each.

    Raises AtlasError where the rows of a document do not count 0, 1, 2, …: then no window could be told apart.
    """
    starts_here = (tokens["document_id"] != tokens["document_id"].shift(1)).fill_null(True).to_numpy()
    starts = np.flatnonzero(starts_here)
    lengths = np.diff(starts, append=len(tokens))
    first = np.repeat(starts, lengths)
    if not np.array_equal(tokens["position"].to_numpy(), np.arange(len(tokens)) - first):
        raise AtlasError("The token table of a shard is damaged: its positions do not count on. Harvest it again.")
    return first, np.repeat(starts + lengths - 1, lengths)
