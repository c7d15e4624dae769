"""What the clusters of a map are called, and where they lie."""

from collections import Counter

import polars as pl

_NAMED_PARTS = 3


def cluster_frame(places: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """The table `clusters`: dictionary_id, cluster_id, label, size, x, y (the mean of its members).

    :param places: what `feature_map` gives
    :param labels: feature_id, label: one row a feature
    A cluster is named by up to three parts of its members' labels ("Alcatraz · picture" has two), those that are most
    frequent in it against the whole dictionary; a cluster without labels is named by its number.
    """
    parts = (
        places.filter(pl.col("cluster_id") >= 0)
        .join(labels.select("feature_id", "label"), on="feature_id")
        .with_columns(part=pl.col("label").str.split(" · "))
    )
    everywhere = Counter(part for row in parts["part"] for part in set(row))
    members = {key[0]: group["part"].to_list() for key, group in parts.group_by("cluster_id")}
    return (
        places.filter(pl.col("cluster_id") >= 0)
        .group_by("dictionary_id", "cluster_id")
        .agg(size=pl.len().cast(pl.Int32), x=pl.col("x").mean(), y=pl.col("y").mean())
        .sort("dictionary_id", "cluster_id")
        .with_columns(
            label=pl.col("cluster_id").map_elements(
                lambda cluster: _name(cluster, members.get(cluster, []), everywhere), return_dtype=pl.String
            )
        )
        .select("dictionary_id", "cluster_id", "label", "size", "x", "y")
    )


def _name(cluster: int, members: list[list[str]], everywhere: Counter[str]) -> str:
    here = Counter(part for row in members for part in dict.fromkeys(row))
    # n²/N: frequent in the cluster, and not everywhere else.
    best = sorted(here, key=lambda part: (-(here[part] ** 2) / everywhere[part], part))[:_NAMED_PARTS]
    return " · ".join(best) or f"cluster {cluster}"
