"""The map of 100,000 features: how long it takes, and in what memory.

    python tests/benchmarks/map.py [--features 100000] [--json] [--threads 1]

Unit vectors [n, 128] around n / 50 random centres. CPU seconds of each step of a first map (neighbours; layout and
clusters), then of the map of a retrained dictionary, whose vectors are a little turned and a tenth of which are new.

- `first_s`, `next_s`: the two maps, neighbours left out; `neighbors_s`: those of the first.
- `peak_mib`: the largest resident set, the libraries included.
- `moved`, `moved_afresh`: median way of a carried feature, as a share of the map's extent: of the map that goes on
  from the first, and of one that begins afresh and is turned onto it.
"""

import argparse
import json
import resource
import time

import numpy as np
import polars as pl
import torch
import torch.nn.functional as F
from torch import Tensor

from sae.features.map import feature_map
from sae.features.map_start import START, aligned
from sae.features.neighbors import live_directions, neighbors_within

DIMENSIONS = 128
NEW = 0.1


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, default=100_000)
    parser.add_argument("--json", action="store_true", help="one flat object on one line")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    n, carried = arguments.features, round(arguments.features * (1 - NEW))
    generator = torch.Generator().manual_seed(0)
    _map(_clustered(200, generator), None)  # compiles
    vectors = _clustered(n, generator)
    turned = F.normalize(vectors + 0.02 * torch.randn(vectors.shape, generator=generator), dim=1)
    turned[carried:] = _clustered(n - carried, generator)

    first, neighbors_s, first_s = _map(vectors, None)
    start = first.filter(pl.col("index") < carried).select(*START)
    following, _, next_s = _map(turned, start)
    afresh, _, _ = _map(turned, None)

    index = np.arange(n)
    found = {
        "neighbors_s": neighbors_s,
        "first_s": first_s,
        "next_s": next_s,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "moved": _moved(first, _places(following), carried),
        "moved_afresh": _moved(first, aligned(index, _places(afresh), start), carried),
        "clusters": float(first["cluster_id"].n_unique()),
    }
    print(json.dumps(found) if arguments.json else "\n".join(f"{name:14} {value:.3f}" for name, value in found.items()))


def _map(vectors: Tensor, start: pl.DataFrame | None) -> tuple[pl.DataFrame, float, float]:
    directions = live_directions(vectors, np.zeros(len(vectors), dtype=bool), "d")
    begun = time.process_time()
    neighbors, _ = neighbors_within(directions)
    between = time.process_time()
    places = feature_map(directions, neighbors, 0, start)
    return places, between - begun, time.process_time() - between


def _clustered(n: int, generator: torch.Generator) -> Tensor:
    centres = torch.randn(max(n // 50, 1), DIMENSIONS, generator=generator)
    drawn = torch.randint(len(centres), (n,), generator=generator)
    return F.normalize(centres[drawn] + 0.7 * torch.randn(n, DIMENSIONS, generator=generator), dim=1)


def _places(places: pl.DataFrame) -> np.ndarray:
    return places.select("x", "y").to_numpy()


def _moved(first: pl.DataFrame, places: np.ndarray, carried: int) -> float:
    before = _places(first)
    ways = np.linalg.norm(places[:carried] - before[:carried], axis=1)
    return float(np.median(ways) / np.ptp(before, axis=0).max())


if __name__ == "__main__":
    main()
