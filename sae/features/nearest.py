"""The nearest rows of a matrix by their dot products, exactly: blocked products, of which a running top-k survives.

A tile of products is read once while it lies in the cache, and only what exceeds a row's k-th best so far is looked at:
after the first tiles that is next to nothing, so that the selection costs a few percent of the product. Within one
matrix a tile serves its rows and its columns, so that half of the products are enough. Memory: the result and one tile.
"""

import torch
from torch import Tensor

from sae.errors import AtlasError

_TILE = 1024
"""Rows and columns of a tile: 4 MiB of products."""
_DEVICE_TILE = 8192
"""Rows and columns of a tile on a GPU: 256 MiB of products."""
_GROUP = 64
"""Columns whose maximum stands for them on a GPU."""


def nearest(queries: Tensor, keys: Tensor, size: int, exclude_same: bool = False) -> tuple[Tensor, Tensor]:
    """Product and index [n, size'] of the `size` nearest keys [m, d] of each query [n, d], falling; float32 and int64.

    Of unit vectors the product is the cosine. Among equal ones the lowest index comes first. size' = min(size, m), or
    m − 1 where a query's own row is left out (`exclude_same`: queries and keys are the same matrix). The work is done
    where the tensors are (CPU or GPU); the result is on the CPU. Raises AtlasError where a value is not finite.
    """
    queries, keys = queries.to(torch.float32), keys.to(torch.float32)
    size = max(min(size, len(keys) - exclude_same), 0)
    if not size or not len(queries):
        return torch.empty(len(queries), size), torch.empty(len(queries), size, dtype=torch.int64)
    if queries.device.type != "cpu":
        found = nearest_on_device(queries, keys, size, exclude_same)
    else:
        found = _within(queries, size) if exclude_same else _between(queries, keys, size)
    if not torch.isfinite(found[0]).all():
        raise AtlasError("A decoder row holds a value that is not finite: it has no neighbours. Train it again.")
    return found


def nearest_on_device(queries: Tensor, keys: Tensor, size: int, exclude_same: bool) -> tuple[Tensor, Tensor]:
    """The same by tensor operations alone, for any device.

    Of each tile the `size` groups of columns with the largest maxima hold its `size` largest products: a tile is read
    once for the maxima, and what is sorted is small.
    """
    cosines, indices = torch.empty(len(queries), size), torch.empty(len(queries), size, dtype=torch.int64)
    for start in range(0, len(queries), _DEVICE_TILE):
        block = queries[start : start + _DEVICE_TILE]
        best = block.new_full((len(block), 0), -torch.inf)
        where = torch.empty(len(block), 0, dtype=torch.int64, device=block.device)
        for first in range(0, len(keys), _DEVICE_TILE):
            tile = block @ keys[first : first + _DEVICE_TILE].T
            if exclude_same and first == start:
                tile.fill_diagonal_(-torch.inf)
            found, at = _largest(tile, size)
            best, where = torch.cat([best, found], dim=1), torch.cat([where, at + first], dim=1)
            best, order = best.sort(dim=1, descending=True, stable=True)
            best, where = best[:, :size], where.gather(1, order[:, :size])
        cosines[start : start + _DEVICE_TILE], indices[start : start + _DEVICE_TILE] = best.cpu(), where.cpu()
    return cosines, indices


def _largest(tile: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The up to `size` largest of each row with their columns, the lowest column first among equal ones."""
    padded = torch.nn.functional.pad(tile, (0, -tile.shape[1] % _GROUP), value=-torch.inf)
    grouped = padded.unflatten(1, (-1, _GROUP))
    _, groups = grouped.amax(dim=2).sort(dim=1, descending=True, stable=True)
    # In the order of columns: then a stable sort keeps equal ones in it.
    groups = groups[:, :size].sort(dim=1).values
    held = grouped.gather(1, groups[:, :, None].expand(-1, -1, _GROUP)).flatten(1)
    found, order = held.sort(dim=1, descending=True, stable=True)
    found, order = found[:, :size], order[:, :size]
    return found, groups.gather(1, order // _GROUP) * _GROUP + order % _GROUP


def _between(queries: Tensor, keys: Tensor, size: int) -> tuple[Tensor, Tensor]:
    from sae.dictionaries.compiled import over_parts
    from sae.features.nearest_kernels import offer_to_rows

    best, where = _nothing(len(queries), size)
    tile = torch.empty(_TILE, _TILE)
    for start in range(0, len(queries), _TILE):
        block = queries[start : start + _TILE]
        for first in range(0, len(keys), _TILE):
            products = _products(block, keys[first : first + _TILE], tile)
            over_parts(len(block), offer_to_rows, products.numpy(), start, first, best.numpy(), where.numpy())
    return best, where


def _within(vectors: Tensor, size: int) -> tuple[Tensor, Tensor]:
    from sae.dictionaries.compiled import over_parts
    from sae.features.nearest_kernels import offer_to_columns, offer_to_rows

    n = len(vectors)
    best, where = _nothing(n, size)
    worst = torch.full((n,), -torch.inf)
    tile = torch.empty(_TILE, _TILE)
    # Above the diagonal: each row is offered its keys in ascending order, by the columns first, then by the rows.
    for start in range(0, n, _TILE):
        rows = vectors[start : start + _TILE]
        for first in range(start, n, _TILE):
            products = _products(rows, vectors[first : first + _TILE], tile)
            if first == start:
                products.fill_diagonal_(-torch.inf)
            held = products.numpy(), start, first, best.numpy(), where.numpy()
            over_parts(len(rows), offer_to_rows, *held)
            if first != start:
                over_parts(products.shape[1], offer_to_columns, *held, worst.numpy())
    return best, where


def _nothing(n: int, size: int) -> tuple[Tensor, Tensor]:
    return torch.full((n, size), -torch.inf), torch.full((n, size), -1, dtype=torch.int64)


def _products(rows: Tensor, columns: Tensor, tile: Tensor) -> Tensor:
    """[len(rows), len(columns)], in the tile's memory."""
    held = tile.view(-1)[: len(rows) * len(columns)].view(len(rows), len(columns))
    return torch.mm(rows, columns.T, out=held)
