"""What became of each feature from one version of a dictionary to the next, by decoder cosine and by activation.

A pair matches where the cosine of the decoder rows is at least `CARRIED`. Each new feature looks for its nearest old
one and each old one for its nearest new one:
    carried   each is the other's nearest, and they match
    split     the new one's nearest matches it, but that one was carried to another
    merged    the old one's nearest matches it, but that one carries another
    new       a new feature that no old one matches
    retired   an old feature that no new one matches (its row has no new feature)
"""

from collections.abc import Iterable

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae.activations.shard import ActivationShard
from sae.dictionaries.dictionary import Dictionary
from sae.features.neighbors import nearest
from sae.identity import feature_id

CARRIED = 0.7
"""Least cosine of a match."""
_ROWS = 4096

MATCHES = pl.Schema(
    {
        "feature_id": pl.String,
        "dictionary_id": pl.String,
        "index": pl.Int32,
        "previous_feature_id": pl.String,
        "cosine": pl.Float64,
        "activation_correlation": pl.Float64,
        "status": pl.String,
    }
)


def match_features(
    current: Dictionary,
    current_id: str,
    previous: Dictionary,
    previous_id: str,
    shards: Iterable[ActivationShard],
) -> pl.DataFrame:
    """The table `feature_matches` from `previous` to `current`, with the Pearson correlation on the shards' tokens."""
    new, old = _unit(current.W_dec), _unit(previous.W_dec)
    to_old, old_of = (part[:, 0].numpy() for part in nearest(new, old, 1))
    to_new, new_of = (part[:, 0].numpy() for part in nearest(old, new, 1))
    rows: list[tuple[int | None, int | None, float | None, str]] = []
    for i, (j, cosine) in enumerate(zip(old_of.tolist(), to_old.tolist(), strict=True)):
        if cosine < CARRIED:
            rows.append((i, None, None, "new"))
        else:
            rows.append((i, j, cosine, "carried" if new_of[j] == i else "split"))
    for j, (i, cosine) in enumerate(zip(new_of.tolist(), to_new.tolist(), strict=True)):
        if cosine < CARRIED:
            rows.append((None, j, None, "retired"))
        elif old_of[i] != j:
            rows.append((i, j, cosine, "merged"))
    pairs = np.array([(i, j) for i, j, _, _ in rows if i is not None and j is not None], dtype=np.int64).reshape(-1, 2)
    correlations = iter(_correlations(current, previous, pairs, shards))
    return pl.DataFrame(
        [
            (
                None if i is None else feature_id(current_id, i),
                current_id,
                i,
                None if j is None else feature_id(previous_id, j),
                cosine,
                None if i is None or j is None else next(correlations),
                status,
            )
            for i, j, cosine, status in rows
        ],
        schema=MATCHES,
        orient="row",
    )


def _correlations(
    one: Dictionary, other: Dictionary, pairs: NDArray[np.int64], shards: Iterable[ActivationShard]
) -> list[float | None]:
    """Pearson correlation of each pair's activations over all readable tokens; None where one of them is constant."""
    left, right = torch.from_numpy(pairs[:, 0]), torch.from_numpy(pairs[:, 1])
    sums = torch.zeros(5, len(pairs), dtype=torch.float64)
    n = 0
    for shard in shards:
        trainable = shard.trainable
        for start, block in shard.blocks(_ROWS):
            x = block[trainable[start : start + len(block)]]
            a, b = one.encode(x)[:, left].double(), other.encode(x)[:, right].double()
            sums += torch.stack([a.sum(0), b.sum(0), (a * a).sum(0), (b * b).sum(0), (a * b).sum(0)])
            n += len(x)
    a, b, aa, bb, ab = sums
    covariance, variances = n * ab - a * b, (n * aa - a * a) * (n * bb - b * b)
    return [
        float(c / v**0.5) if v > 0 else None
        for c, v in zip(covariance.tolist(), variances.clamp(min=0).tolist(), strict=True)
    ]


def _unit(rows: Tensor) -> Tensor:
    return torch.nn.functional.normalize(rows.float(), dim=1)
