"""Feature splitting: which features of a large dictionary one feature of a small one becomes (SM, TM)."""

import numpy as np
import polars as pl

from sae.features.frames import feature_columns
from sae.features.nearest import nearest
from sae.features.neighbors import Directions

LEAST_COSINE = 0.5
"""Below this a feature of the large dictionary has no parent: random directions in 128 dimensions reach it never."""


def families(small: Directions, large: Directions, least_cosine: float = LEAST_COSINE) -> pl.DataFrame:
    """The frame `families`: each live feature of the large dictionary under its nearest one of the small.

    A child has at most one parent, the one with the largest cosine, where that is at least `least_cosine`. Sorted by
    parent, then by falling cosine.
    """
    if not len(small.index) or not len(large.index):
        return pl.DataFrame(schema=_SCHEMA)
    cosines, parents = nearest(large.vectors, small.vectors, 1)
    parent = small.index[parents[:, 0].numpy()]
    return (
        pl.DataFrame(
            {
                "parent_feature_id": feature_columns(small.dictionary_id, parent)["feature_id"],
                "child_feature_id": feature_columns(large.dictionary_id, large.index)["feature_id"],
                "cosine": cosines[:, 0].numpy(),
                "parent": parent,
                "child": large.index.astype(np.int64),
            }
        )
        .filter(pl.col("cosine") >= least_cosine)
        .sort("parent", "cosine", "child", descending=[False, True, False])
        .select(*_SCHEMA)
    )


_SCHEMA = {"parent_feature_id": pl.String, "child_feature_id": pl.String, "cosine": pl.Float32}
