"""Which cells go into one run: neighbours of an asset that is made in ranges, and assets that share a partition."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import dagster as dg

from orchestration.partitions import PARTITIONED_BY, Cell, Keys

RANGED = ("corpus", "activations", "dictionary_candidate")
"""Assets of many small partitions, of which one run makes a range."""


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
        return f" [{first}]" if first == last else f" [{first} … {last}: {len(self.cells)}]"


def batches(ready: Sequence[Cell], keys: Keys) -> Iterator[Batch]:
    """Cells that are all ready, in the order of the assets, put into as few runs as Dagster's ranges allow."""
    single: dict[tuple[str, str | None], list[Cell]] = {}
    for asset in dict.fromkeys(cell.asset for cell in ready):
        cells = [cell for cell in ready if cell.asset == asset]
        if asset in RANGED:
            partitions, kind = [str(cell.partition) for cell in cells], PARTITIONED_BY[asset]
            ranges = _blocks(partitions, keys) if kind == "shard_site" else _neighbours(partitions, keys.keys(kind))
            for names in ranges:
                yield Batch(tuple(Cell(asset, name) for name in names), (names[0], names[-1]))
        else:
            for cell in cells:
                single.setdefault((PARTITIONED_BY[asset], cell.partition), []).append(cell)
    for (_, partition), cells in single.items():
        yield Batch(tuple(cells), None if partition is None else (partition, partition))


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
