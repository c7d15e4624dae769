"""Cells of the lineage followed from one of them: those that it was made from, and those that were made from it.

The view `lineage_closure` holds every such pair, and all of it is worked out before a row is picked; these walk from
the cells that are asked about.
"""

from collections.abc import Sequence

import polars as pl

from sae.catalog.query import Catalog

_WALK = """
    with recursive steps as (
        select distinct asset, partition, upstream_asset, upstream_partition from lineage_edges
    ), walked(asset, partition, depth) as (
        select s.{there}asset, s.{there}partition, 1
        from steps s join (select unnest($partitions::varchar[]) as partition) p
            on s.{here}asset = $asset and s.{here}partition is not distinct from p.partition
        union
        select s.{there}asset, s.{there}partition, w.depth + 1
        from walked w join steps s
            on s.{here}asset = w.asset and s.{here}partition is not distinct from w.partition
    ), cells as (
        select asset, partition, min(depth) as depth from walked group by all
    )
"""
_UP = _WALK.format(here="", there="upstream_")
_DOWN = _WALK.format(here="upstream_", there="")
_BY_ASSET = """
    select c.asset, min(c.depth) as depth, count(distinct c.partition) as n_partitions,
        list_sort(list(distinct c.partition))[:3] as partitions,
        max(l.code_version) as code_version, max(l.finished_at) as finished_at
    from cells c left join lineage l on l.asset = c.asset and l.partition is not distinct from c.partition
    group by c.asset order by 2, 1
"""


def made_from_cells(catalog: Catalog, asset: str, partitions: Sequence[str | None]) -> pl.DataFrame:
    """The cells that were made from some partitions of an asset, directly or through others: asset, partition, depth.

    :param partitions: `[None]` for an asset that has none
    """
    return _walked(catalog, f"{_DOWN} select * from cells order by all", asset, partitions)


def sources_by_asset(catalog: Catalog, asset: str, partition: str | None) -> pl.DataFrame:
    """The assets that a cell comes from, the nearest first.

    asset, depth (the fewest steps), n_partitions and the first of them, the newest code_version and finished_at.
    """
    return _walked(catalog, _UP + _BY_ASSET, asset, [partition])


def dependants_by_asset(catalog: Catalog, asset: str, partition: str | None) -> pl.DataFrame:
    """The assets that come from a cell, the nearest first; columns as in `sources_by_asset`."""
    return _walked(catalog, _DOWN + _BY_ASSET, asset, [partition])


def _walked(catalog: Catalog, query: str, asset: str, partitions: Sequence[str | None]) -> pl.DataFrame:
    return catalog.sql(query, {"asset": asset, "partitions": list(partitions)})
