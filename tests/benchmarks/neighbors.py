"""The nearest features of a dictionary against the matrix product that they need, in one run.

    python tests/benchmarks/neighbors.py [--quick] [--json] [--threads 1]

Random unit vectors, 65,536 × 384 and 131,072 × 576, the ten nearest of each. Blocks of 1,024 rows take turns: the
product of a block with all rows, tile by tile, and the same with the selection of neighbours.

- `ratio_<n>x<d>`: product alone over `nearest` between two matrices (nothing is saved by symmetry), in CPU seconds.
- `ratio_within_<n>x<d>`: the same for `nearest` within one matrix, on `within` of its rows: half of the products.
- `peak_mib_<n>x<d>`: what the process grew by while it searched, tiles and result included; the vectors themselves and
  the libraries stand in `base_mib_<n>x<d>`.

CPU seconds leave out what else the machine does; what it takes of the caches and the clock hits both alike. `--quick`
takes a part of the blocks.
"""

import argparse
import json
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from sae.features import nearest as module
from sae.features.nearest import nearest

SIZES = ((65_536, 384), (131_072, 576))
NEIGHBOURS = 10
BLOCK = 1_024


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a part of the row blocks, under a minute")
    parser.add_argument("--json", action="store_true", help="one flat object on one line")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    blocks, within = (3, 8_192) if arguments.quick else (16, 32_768)
    found: dict[str, float] = {"threads": arguments.threads, "blocks": blocks, "within": within}
    warm = _vectors(BLOCK + 1, 8)
    nearest(warm, warm, NEIGHBOURS)
    nearest(warm, warm, NEIGHBOURS, exclude_same=True)
    for n, d in SIZES:
        vectors = _vectors(n, d)
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from what is held now
        base = _peak_mib()
        between, inside = _between(vectors, blocks), _within(vectors[:within])
        found |= {f"ratio_{n}x{d}": between, f"ratio_within_{n}x{d}": inside}
        found |= {f"base_mib_{n}x{d}": base, f"peak_mib_{n}x{d}": _peak_mib() - base}
    print(json.dumps(found) if arguments.json else "\n".join(f"{name:28} {value:.3f}" for name, value in found.items()))


def _between(vectors: Tensor, blocks: int) -> float:
    product = selection = 0.0
    for start in range(0, len(vectors), -(-len(vectors) // blocks // BLOCK) * BLOCK):
        block = vectors[start : start + BLOCK]
        product += _product(block, vectors)
        begun = time.process_time()
        nearest(block, vectors, NEIGHBOURS)
        selection += time.process_time() - begun
    return product / selection


def _within(vectors: Tensor) -> float:
    product = _product(vectors, vectors)
    begun = time.process_time()
    nearest(vectors, vectors, NEIGHBOURS, exclude_same=True)
    selection = time.process_time() - begun
    return (product + _product(vectors, vectors)) / 2 / selection


def _product(rows: Tensor, columns: Tensor) -> float:
    """CPU seconds of the product in the same tiles."""
    side = module._TILE
    tile = torch.empty(side, side)
    begun = time.process_time()
    for start in range(0, len(rows), side):
        for first in range(0, len(columns), side):
            torch.mm(rows[start : start + side], columns[first : first + side].T, out=tile)
    return time.process_time() - begun


def _vectors(n: int, d: int) -> Tensor:
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(0)), dim=1)


def _peak_mib() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    main()
