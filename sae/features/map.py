"""The two-dimensional map of a dictionary and its clusters, as Towards Monosemanticity drew it."""

from collections import Counter

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sae.features.frames import feature_columns
from sae.features.neighbors import Directions

FEWEST = 20
"""Below so many live features UMAP has no neighbourhood to learn: the first two principal components are the map."""
_NAMED_PARTS = 3


def feature_map(directions: Directions, seed: int) -> pl.DataFrame:
    """Place the live features: frame feature_id, dictionary_id, index, x, y, cluster_id (−1: in no cluster).

    UMAP with n_neighbors 15, cosine and min_dist 0.05; clusters by HDBSCAN with min_cluster_size 3 on a 10-dimensional
    UMAP with min_dist 0.1 (TM, "Feature UMAP"). The same vectors and seed give the same map.
    """
    vectors = directions.vectors.numpy()
    if len(vectors) < FEWEST:
        places, clusters = _principal_components(vectors), np.full(len(vectors), -1)
    else:
        places = _umap(vectors, 2, 0.05, seed)
        clusters = _clusters(_umap(vectors, 10, 0.1, seed))
    return pl.DataFrame(
        {
            **feature_columns(directions.dictionary_id, directions.index),
            "x": places[:, 0].astype(np.float32),
            "y": places[:, 1].astype(np.float32),
            "cluster_id": clusters.astype(np.int32),
        }
    )


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


def _umap(vectors: NDArray[np.float32], dimensions: int, min_dist: float, seed: int) -> NDArray[np.float32]:
    import umap  # numba compiles at import: nine seconds that only this function pays

    reducer = umap.UMAP(
        n_components=dimensions,
        n_neighbors=min(15, len(vectors) - 1),
        metric="cosine",
        min_dist=min_dist,
        random_state=seed % 2**32,
        n_jobs=1,
    )
    return np.asarray(reducer.fit_transform(vectors), dtype=np.float32)


def _clusters(places: NDArray[np.float32]) -> NDArray[np.int64]:
    from sklearn.cluster import HDBSCAN

    clusters = HDBSCAN(min_cluster_size=3, copy=True).fit_predict(places)  # pyright: ignore[reportArgumentType]
    return np.asarray(clusters, dtype=np.int64)


def _principal_components(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    centred = vectors - vectors.mean(0) if len(vectors) else vectors
    left, strength, _ = np.linalg.svd(centred, full_matrices=False)
    places = np.zeros((len(vectors), 2), np.float32)
    kept = min(2, len(strength))
    places[:, :kept] = left[:, :kept] * strength[:kept]
    # A component's sign is arbitrary: its largest entry is made positive.
    for axis in places.T[: kept if len(vectors) else 0]:
        axis *= np.sign(axis[np.abs(axis).argmax()]) or 1
    return places
