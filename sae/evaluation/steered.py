"""Which features are steered: those that the config names, by concept or by id, or the best-known ones."""

import polars as pl

from sae.config import SteeringConfig
from sae.errors import AtlasError
from sae.identity import feature_id


def steered_features(
    config: SteeringConfig,
    dictionary_id: str,
    features: pl.DataFrame,
    concept_scores: pl.DataFrame,
    concepts: pl.DataFrame,
) -> list[int]:
    """Indices of the features to steer in one dictionary.

    A name in `config.features` is a concept's name or a feature's id; one that belongs to another dictionary is left
    to that. Without names the `max_features` live features with the highest concept F1 are taken, then the densest.
    Raises AtlasError on a name that is neither.
    """
    scored = concept_scores.filter(pl.col("slice") == "all").join(concepts, on="concept_id").sort("f1", descending=True)
    if not config.features:
        known = scored.filter(pl.col("f1") > 0)["index"].unique(maintain_order=True).to_list()
        dense = features.filter(~pl.col("is_dead")).sort("density", descending=True)["index"].to_list()
        return list(dict.fromkeys([*known, *dense]))[: config.max_features]
    by_name = dict(scored.unique("name", keep="first").select("name", "index").iter_rows())
    by_id = {feature_id(dictionary_id, index): index for index in features["index"]}
    chosen = []
    for name in config.features:
        if name in by_name or name in by_id:
            chosen.append(by_name.get(name, by_id.get(name)))
        elif ":" not in name and scored.height:
            known = ", ".join(sorted(by_name)[:10])
            raise AtlasError(f"steering.features: no concept {name!r} was scored. There are, for example: {known}.")
    return list(dict.fromkeys(chosen))
