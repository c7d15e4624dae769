"""What became of each feature from one version of a dictionary to the next, by decoder cosine and by activation.

Two features match where the cosine of their decoder rows is at least `CARRIED` and their activations on the same tokens
correlate by at least `CORRELATED`: a direction alone says less than what is read along it. Each new feature looks to
its nearest old one and each old one to its nearest new one; the matches among these pairs are the links, and
    carried   links are taken one to one, the larger cosine first
    split     a new feature's link to an old one that another new feature carries on
    merged    an old feature's link to a new one that carries on another
    new       a new feature without a link
    retired   an old feature without a link (its row has no new feature)
A feature that is silent on the tokens correlates with nothing.

Dictionaries that differ in the seed alone share only a part of their features (Paulo and Belrose 2025, "Sparse
Autoencoders Trained on the Same Data Learn Different Features"); activation correlation is how Towards Monosemanticity
("Universality") compares runs. The thresholds were set on one pair of seeds of the demo world; what they get wrong on
others is measured wherever the truth is known (`evaluation.match_errors`).
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae.activations.shard import ActivationShard
from sae.dictionaries.dictionary import Dictionary
from sae.features.nearest import nearest
from sae.identity import feature_id

CARRIED = 0.7
"""Least cosine of a match."""
CORRELATED = 0.8
"""Least Pearson correlation of a match's activations."""
_ROWS = 4096

MATCHES = pl.Schema(
    {
        "feature_id": pl.String,
        "dictionary_id": pl.String,
        "index": pl.Int32,
        "previous_feature_id": pl.String,
        "previous_dictionary_id": pl.String,
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
    cosines = {(i, int(j)): float(to_old[i]) for i, j in enumerate(old_of)}
    cosines |= {(int(i), j): float(to_new[j]) for j, i in enumerate(new_of)}
    near = [pair for pair, cosine in cosines.items() if cosine >= CARRIED]
    pairs = np.array(near, dtype=np.int64).reshape(-1, 2)
    correlations = dict(zip(near, _correlations(current, previous, pairs, shards), strict=True))
    links = [pair for pair in near if (correlations[pair] or 0.0) >= CORRELATED]
    statuses = _statuses(links, cosines, old_of, new_of)
    rows = [
        (
            None if i is None else feature_id(current_id, i),
            current_id,
            i,
            None if j is None else feature_id(previous_id, j),
            previous_id,
            None if i is None or j is None else cosines[i, j],
            None if i is None or j is None else correlations[i, j],
            status,
        )
        for i, j, status in statuses
    ]
    return pl.DataFrame(rows, schema=MATCHES, orient="row")


def _statuses(
    links: Sequence[tuple[int, int]],
    cosines: Mapping[tuple[int, int], float],
    old_of: NDArray[np.int64],
    new_of: NDArray[np.int64],
) -> list[tuple[int | None, int | None, str]]:
    """New and old feature with what became of them: the new ones in order, then the old ones that are left."""
    carried: dict[int, int] = {}
    taken: set[int] = set()
    for i, j in sorted(links, key=lambda pair: (-cosines[pair], pair)):
        if i not in carried and j not in taken:
            carried[i] = j
            taken.add(j)
    linked = set(links)
    rows: list[tuple[int | None, int | None, str]] = []
    for i, j in enumerate(old_of.tolist()):
        if i in carried:
            rows.append((i, carried[i], "carried"))
        else:
            rows.append((i, j, "split") if (i, j) in linked else (i, None, "new"))
    for j, i in enumerate(new_of.tolist()):
        if j not in taken:
            rows.append((i, j, "merged") if (i, j) in linked else (None, j, "retired"))
    return rows


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
