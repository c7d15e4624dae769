"""Which features the config means: those that it names, by concept or by id, or the best-known ones."""

from collections.abc import Sequence

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
) -> list[tuple[int, ...]]:
    """Sets of indices of the features to steer in one dictionary, each set held at once.

    Without names the `max_features` live features with the highest concept F1 are taken, then the densest, each by
    itself. A set of which a feature belongs to another dictionary is left to that.
    Raises AtlasError on a name that is neither a concept's nor an id.
    """
    if not config.features:
        scored = _scored(concept_scores, concepts)
        known = scored.filter(pl.col("f1") > 0)["index"].unique(maintain_order=True).to_list()
        dense = features.filter(~pl.col("is_dead")).sort("density", descending=True)["index"].to_list()
        return [(index,) for index in list(dict.fromkeys([*known, *dense]))[: config.max_features]]
    sets = [(names,) if isinstance(names, str) else names for names in config.features]
    found = [
        named_features("steering.features", names, dictionary_id, features, concept_scores, concepts) for names in sets
    ]
    return list(dict.fromkeys(tuple(indices) for indices in found if indices))


def named_features(
    where: str,
    names: Sequence[str],
    dictionary_id: str,
    features: pl.DataFrame,
    concept_scores: pl.DataFrame,
    concepts: pl.DataFrame,
) -> list[int] | None:
    """Indices of the features that names of concepts and ids stand for; None where one is of another dictionary.

    A concept's feature is the one that `concept_scores` chose. `where` names the config's key in an error.
    Raises AtlasError on a name that is neither.
    """
    scored = _scored(concept_scores, concepts)
    by_name = dict(scored.unique("name", keep="first").select("name", "index").iter_rows())
    by_id = {feature_id(dictionary_id, index): index for index in features["index"]}
    found = []
    for name in names:
        if name in by_name or name in by_id:
            found.append(by_name.get(name, by_id.get(name)))
        elif ":" not in name and scored.height:
            known = ", ".join(sorted(by_name)[:10])
            raise AtlasError(f"{where}: no concept {name!r} was scored. There are, for example: {known}.")
        else:
            return None
    return list(dict.fromkeys(found))


def _scored(concept_scores: pl.DataFrame, concepts: pl.DataFrame) -> pl.DataFrame:
    whole = concept_scores.filter(pl.col("slice") == "all")
    return whole.join(concepts, on="concept_id").sort("f1", descending=True)
