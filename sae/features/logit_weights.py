"""Direct effect of a feature on the logits (Towards Monosemanticity, "logit weights")."""

from collections.abc import Callable

import numpy as np
import polars as pl
import torch
from torch import Tensor

from sae.errors import AtlasError
from sae.features.frames import feature_columns
from sae.features.neighbors import Directions

_BLOCK = 256

LOGIT_WEIGHTS = {
    "feature_id": pl.String,
    "dictionary_id": pl.String,
    "index": pl.Int32,
    "sign": pl.String,
    "rank": pl.Int32,
    "token_id": pl.Int32,
    "token": pl.String,
    "weight": pl.Float32,
}
"""The frame's columns."""


def logit_weights(
    directions: Directions, unembedding: Tensor, token: Callable[[int], str], size: int = 10
) -> pl.DataFrame:
    """The frame `logit_weights`: the `size` tokens that each live feature raises and lowers most.

    weight = decoder vector · unembedding row, shifted so that a feature's median over the vocabulary is 0 (TM): a
    constant added to all logits changes no probability.

    :param unembedding: [v, d], what a direction of the dictionary's inputs adds to the logits;
        the work is done where it lies
    :param token: the text of a token id
    Raises AtlasError where the unembedding does not fit the dictionary (an encoder has none).
    """
    if unembedding.ndim != 2 or unembedding.shape[1] != directions.vectors.shape[1]:
        raise AtlasError(
            f"The unembedding has shape {tuple(unembedding.shape)}, "
            f"the dictionary {directions.vectors.shape[1]} dimensions: logit weights need one residual stream."
        )
    size = min(size, len(unembedding) // 2)
    parts = []
    for start in range(0, len(directions.index), _BLOCK):
        block = directions.vectors[start : start + _BLOCK].to(unembedding.device)
        weights = block @ unembedding.T.to(torch.float32)
        weights -= weights.median(dim=1, keepdim=True).values
        for sign, largest in (("positive", True), ("negative", False)):
            found, ids = (part.cpu() for part in weights.topk(size, dim=1, largest=largest))
            n = len(found)
            parts.append(
                pl.DataFrame(
                    {
                        **feature_columns(
                            directions.dictionary_id, np.repeat(directions.index[start : start + n], size)
                        ),
                        "sign": pl.repeat(sign, n * size, dtype=pl.String, eager=True),
                        "rank": np.tile(np.arange(1, size + 1, dtype=np.int32), n),
                        "token_id": ids.flatten().to(torch.int32).numpy(),
                        "token": pl.Series([token(i) for i in ids.flatten().tolist()], dtype=pl.String),
                        "weight": found.flatten().numpy(),
                    }
                )
            )
    if not parts:
        return no_logit_weights()
    return pl.concat(parts).sort("index", pl.col("sign") == "negative", "rank")


def no_logit_weights() -> pl.DataFrame:
    """The frame `logit_weights` of a model that predicts no next token: a direction adds to no logits of one."""
    return pl.DataFrame(schema=LOGIT_WEIGHTS)
