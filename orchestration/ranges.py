"""Which cells go into one run: partitions that are neighbours, and assets that share them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import dagster as dg

from orchestration.partitions import PARTITIONED_BY, Cell, Keys, Kind


@dataclass(frozen=True)
class Batch:
    """Cells that one run makes; none of them needs another."""

    cells: tuple[Cell, ...]
    partitions: tuple[str, str] | None
    """First and last partition of the run; None where the cells have none."""

    @property
    def assets(self) -> list[str]:
        """Names of the assets."""
        return list(dict.fromkeys(cell.asset for cell in self.cells))

    @property
    def where(self) -> str:
        """The partitions in words."""
        if self.partitions is None:
            return ""
        first, last = self.partitions
        number = len(self.cells) // len(self.assets)
        return f" [{first}]" if first == last else f" [{first} … {last}: {number}]"


def batches(ready: Sequence[Cell], keys: Keys) -> Iterator[Batch]:
    """Cells that are all ready, in the order of the assets, put into as few runs as Dagster's ranges allow."""
    together: dict[tuple[Kind, tuple[str, ...]], list[str]] = {}
    for asset in dict.fromkeys(cell.asset for cell in ready):
        kind = PARTITIONED_BY[asset]
        partitions = [cell.partition for cell in ready if cell.asset == asset and cell.partition is not None]
        for names in _blocks(partitions, keys) if kind == "shard_site" else _neighbours(partitions, keys.keys(kind)):
            together.setdefault((kind, tuple(names)), []).append(asset)
        if kind == "none":
            together.setdefault((kind, ()), []).append(asset)
    for (_, names), assets in together.items():
        cells = tuple(Cell(asset, name) for asset in assets for name in names or (None,))
        yield Batch(cells, (names[0], names[-1]) if names else None)


def _blocks(partitions: Sequence[str], keys: Keys) -> Iterator[list[str]]:
    """A range over shards and sites is the product of a range of each: so each block has the same sites throughout."""
    sites_of: dict[str, list[str]] = {}
    for partition in partitions:
        shard, site = partition.split("|")
        sites_of.setdefault(shard, []).append(site)
    alike: dict[tuple[str, ...], list[str]] = {}
    for shard, sites in sites_of.items():
        alike.setdefault(tuple(sites), []).append(shard)
    for sites, shards in alike.items():
        for some in _neighbours(shards, keys.shards):
            for neighbours in _neighbours(sites, keys.keys("site")):
                yield [f"{shard}|{site}" for shard in some for site in neighbours]


def _neighbours(names: Sequence[str], order: Sequence[str]) -> list[list[str]]:
    """The names in their order, cut where one that stands between two of them is not among them."""
    place = {name: index for index, name in enumerate(order)}
    groups: list[list[str]] = []
    for name in sorted(names, key=place.__getitem__):
        if groups and place[groups[-1][-1]] + 1 == place[name]:
            groups[-1].append(name)
        else:
            groups.append([name])
    return groups


def run_tags(batch: Batch) -> dict[str, str]:
    """The tags by which Dagster knows the range of a run; none where it has one partition or no partitions."""
    if batch.partitions is None or batch.partitions[0] == batch.partitions[1]:
        return {}
    first, last = batch.partitions
    return {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}


def run_partition(batch: Batch) -> str | None:
    """The partition of a run that has exactly one."""
    return None if batch.partitions is None or run_tags(batch) else batch.partitions[0]


def cell_of(event: dg.DagsterEvent) -> Cell:
    """The cell of a materialisation's event."""
    made = event.step_materialization_data.materialization
    return Cell(made.asset_key.to_user_string(), made.partition)
