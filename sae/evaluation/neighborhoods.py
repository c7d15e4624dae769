"""Do features of things that belong together lie close together? Precision of decoder neighbours over chance.

Scaling Monosemanticity, "Exploring Feature Neighborhoods", looks at them; here the groups are known.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl
from torch import Tensor

from sae.evaluation.best_known import CONCEPT_F1
from sae.evaluation.intervals import bootstrap_ratio
from sae.evaluation.measures import Measure
from sae.evaluation.truth import ALL

NEAREST = 5


def neighbors_lift(
    metric: str, decoder: Tensor, concept_scores: pl.DataFrame, groups: Mapping[str, str], seed: int
) -> Measure:
    """Precision at 5 of cosine neighbours over what chance would give.

    Compared are the features (rows of `decoder` [d_sae, d]) that stand for a concept of `groups` (concept_id to
    group, for example an entity's state) with F1 ≥ `CONCEPT_F1` on slice `all`; a feature that stands for several
    counts once, for the best. For each, the share of the same group among the `NEAREST` others nearest to it; by
    chance that is the group's share among all others. Features alone in their group are neighbours but not asked.
    """
    entities = (
        concept_scores.filter(
            pl.col("slice") == ALL, pl.col("f1") >= CONCEPT_F1, pl.col("concept_id").is_in(list(groups))
        )
        .sort(["f1", "concept_id"], descending=[True, False])
        .unique("index", keep="first", maintain_order=True)
    )
    group = np.array([groups[concept] for concept in entities["concept_id"]], dtype=object)
    same = group[:, None] == group[None, :]
    np.fill_diagonal(same, False)
    asked = np.flatnonzero(same.any(axis=1))
    details = {
        "unit": "features",
        "interval": "bootstrap",
        "f1_at_least": CONCEPT_F1,
        "candidates": len(group),
        "nearest": NEAREST,
    }
    if not len(asked):
        return Measure(metric, None, 0, None, None, details)
    rows = decoder.float()[entities["index"].to_list()]
    rows = rows / rows.norm(dim=1, keepdim=True)
    cosine = (rows @ rows.T).cpu().numpy()
    np.fill_diagonal(cosine, -np.inf)
    nearest = np.argsort(-cosine[asked], axis=1, kind="stable")[:, : min(NEAREST, len(group) - 1)]
    precision = np.take_along_axis(same[asked], nearest, axis=1).mean(axis=1)
    chance = same[asked].sum(axis=1) / (len(group) - 1)
    details |= {"precision": float(precision.mean()), "chance": float(chance.mean())}
    return Measure(
        metric,
        float(precision.sum() / chance.sum()),
        len(asked),
        bootstrap_ratio(precision, chance, seed),
        1.0,
        details,
    )
