"""Which features are asked about first, so that a budget that does not reach all of them buys the most."""

from collections.abc import Collection

import polars as pl

from sae.config.labeling import LabelerConfig
from sae.labels.prompt import PROMPT_VERSION


def by_priority(
    features: pl.DataFrame,
    *,
    asked_for: Collection[str],
    stale: Collection[str],
    band: tuple[float, float],
) -> list[str]:
    """Ids of the live features in the order in which they are asked about.

    The order: 1. those that a person asked for, 2. those whose label in force is stale (written by another model or
    for another prompt: a label that may be wrong misleads, none does not),
    3. those whose density lies in the band, 4. the larger maximal activation, 5. the lower index. Dead features are
    left out.

    :param features: feature_id, dictionary_id, index, density, max_activation, is_dead
    :param asked_for: feature ids
    :param stale: feature ids
    :param band: smallest and largest density, both included
    """
    return (
        features.filter(~pl.col("is_dead"))
        .with_columns(
            asked=pl.col("feature_id").is_in(list(asked_for)),
            old=pl.col("feature_id").is_in(list(stale)),
            fits=pl.col("density").is_between(*band),
        )
        .sort(
            "asked", "old", "fits", "max_activation", "dictionary_id", "index",
            descending=[True, True, True, True, False, False],
        )["feature_id"]
        .to_list()
    )  # fmt: skip


def stale_features(current: pl.DataFrame, config: LabelerConfig) -> set[str]:
    """Ids of the features whose label in force is another model's, seed's or prompt's than the config's.

    An offline label is not stale: it says what it says, whoever is asked.

    :param current: the labels in force
    """
    written = (pl.col("labeler") == "openai") & (
        (pl.col("model") != config.model)
        | (pl.col("seed") != config.seed)
        | (pl.col("prompt_version") != PROMPT_VERSION)
    )
    return set(current.filter(written.fill_null(False))["feature_id"])
