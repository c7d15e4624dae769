"""The two-dimensional map of a dictionary and its clusters, as Towards Monosemanticity drew it.

The neighbours that are stored anyway are the graph that UMAP lays out, so that no pair is compared twice. A map that
follows another begins where that one left the features which were carried, and is turned onto it at the end: what
stayed the same stays where it was.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array

from sae.errors import AtlasError
from sae.features.frames import feature_columns
from sae.features.map_start import START, aligned, filled_in, kept_numbers
from sae.features.neighbors import Directions

N_NEIGHBORS = 15
"""A feature and its 14 nearest (umap counts the point itself)."""
FEWEST = 20
"""Below so many live features UMAP has no neighbourhood to learn: the first two principal components are the map."""
_LARGE, _EPOCHS, _EPOCHS_OF_LARGE = 10_000, 500, 200
"""umap's own numbers of epochs: up to so many features, and beyond."""
_RATE, _RATE_AFTER = 1.0, 0.1
"""Learning rate of a first map (umap's), and of one that goes on from another."""
_SPECTRAL_BELOW = 20_000
"""Larger maps start from principal components: the graph's eigenvectors would take longer than the layout."""


def feature_map(
    directions: Directions, neighbors: pl.DataFrame, seed: int, start: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Place the live features: frame feature_id, dictionary_id, index, x, y, cluster_id (−1: in no cluster).

    UMAP with n_neighbors 15, cosine and min_dist 0.05; clusters by HDBSCAN with min_cluster_size 3 on a 10-dimensional
    UMAP with min_dist 0.1 (TM, "Feature UMAP"), both over the graph of `neighbors` (the frame of this dictionary, scope
    `same`). `start` (schema `START`) says where features stood on the last map. The same arguments give the same map.
    """
    vectors, start = directions.vectors.numpy(), START.to_frame() if start is None else start
    if len(vectors) < FEWEST:
        places, clusters = _principal_components(vectors, 2), np.full(len(vectors), -1)
    else:
        graph = _graph(directions.index, neighbors, seed)
        begun = filled_in(directions.index, start, graph, seed)
        places = _layout(graph, vectors, 2, 0.05, seed, begun)
        clusters = _clusters(_layout(graph, vectors, 10, 0.1, seed, None))
    places = aligned(directions.index, places, start)
    return pl.DataFrame(
        {
            **feature_columns(directions.dictionary_id, directions.index),
            "x": places[:, 0].astype(np.float32),
            "y": places[:, 1].astype(np.float32),
            "cluster_id": kept_numbers(directions.index, clusters, start).astype(np.int32),
        }
    )


def _graph(index: NDArray[np.int64], neighbors: pl.DataFrame, seed: int) -> csr_array:
    """The fuzzy simplicial set of the features [n, n]. Raises AtlasError where a feature lacks neighbours."""
    from umap.umap_ import fuzzy_simplicial_set  # numba compiles at import: nine seconds that only a map pays

    n, others = len(index), N_NEIGHBORS - 1
    held = neighbors.filter(pl.col("scope") == "same", pl.col("rank") <= others).sort("index", "rank")
    if held.height != n * others:
        raise AtlasError(f"{held.height} neighbours are stored for {n} features: the map needs {others} of each.")
    named = held["neighbor_id"].str.split(":").list.last().cast(pl.Int64).to_numpy().reshape(n, others)
    nearest = np.hstack([np.arange(n)[:, None], np.searchsorted(index, named)])
    cosines = held["similarity"].to_numpy().reshape(n, others)
    distances = np.hstack([np.zeros((n, 1)), np.maximum(1 - cosines, 0)]).astype(np.float32)
    graph, *_ = fuzzy_simplicial_set(
        np.empty((n, 1), np.float32),
        N_NEIGHBORS,
        _random(seed),
        "cosine",
        knn_indices=nearest.astype(np.int32),
        knn_dists=distances,
    )
    return csr_array(graph)


def _layout(
    graph: csr_array,
    vectors: NDArray[np.float32],
    dimensions: int,
    min_dist: float,
    seed: int,
    start: NDArray[np.float32] | None,
) -> NDArray[np.float32]:
    """Places [n, dimensions] by UMAP's optimisation, from `start` [n, dimensions] where that is given."""
    from umap.layouts import optimize_layout_euclidean
    from umap.umap_ import find_ab_params, make_epochs_per_sample

    random = _random(seed)
    epochs = _EPOCHS if len(vectors) <= _LARGE else _EPOCHS_OF_LARGE
    edges = graph.tocoo()
    kept = edges.data >= edges.data.max() / epochs  # the others would be drawn less than once
    weights, heads, tails = edges.data[kept], edges.coords[0][kept], edges.coords[1][kept]
    places = _begin(graph, vectors, dimensions, random) if start is None else start.copy()
    a, b = find_ab_params(1.0, min_dist)
    found = optimize_layout_euclidean(
        places,
        places,
        heads.astype(np.int32),
        tails.astype(np.int32),
        epochs,
        len(vectors),
        make_epochs_per_sample(weights, epochs),
        a,
        b,
        random.randint(-(2**31) + 1, 2**31 - 1, 3).astype(np.int64),
        initial_alpha=_RATE if start is None else _RATE_AFTER,
        parallel=False,  # threads would make another map each time
        tqdm_kwds={"disable": True},
    )
    return np.asarray(found, dtype=np.float32)


def _begin(
    graph: csr_array, vectors: NDArray[np.float32], dimensions: int, random: np.random.RandomState
) -> NDArray[np.float32]:
    """Where a first map begins, in umap's extent of 0 to 10."""
    from umap.spectral import spectral_layout
    from umap.umap_ import noisy_scale_coords

    if len(vectors) < _SPECTRAL_BELOW:
        places = spectral_layout(vectors, graph.tocoo(), dimensions, random, metric="cosine", metric_kwds={})
    else:
        places = _principal_components(vectors, dimensions)
    places = noisy_scale_coords(places, random, max_coord=10, noise=0.0001)
    return (10 * (places - places.min(0)) / np.maximum(np.ptp(places, axis=0), 1e-9)).astype(np.float32)


def _clusters(places: NDArray[np.float32]) -> NDArray[np.int64]:
    from sklearn.cluster import HDBSCAN

    clusters = HDBSCAN(min_cluster_size=3, copy=True).fit_predict(places)  # pyright: ignore[reportArgumentType]
    return np.asarray(clusters, dtype=np.int64)


def _principal_components(vectors: NDArray[np.float32], dimensions: int) -> NDArray[np.float32]:
    centred = vectors - vectors.mean(0) if len(vectors) else vectors
    _, axes = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    kept = min(dimensions, vectors.shape[1])
    places = np.zeros((len(vectors), dimensions), np.float32)
    places[:, :kept] = centred @ axes[:, ::-1][:, :kept].astype(np.float32)
    # A component's sign is arbitrary: its largest entry is made positive.
    for axis in places.T if len(vectors) else []:
        axis *= np.sign(axis[np.abs(axis).argmax()]) or 1
    return places


def _random(seed: int) -> np.random.RandomState:
    return np.random.RandomState(seed % 2**32)
