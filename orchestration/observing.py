"""Bring Dagster's view of the sources up to date: the dynamic partitions, and the version observed last."""

import datetime
from collections.abc import Collection, Mapping
from dataclasses import replace

import dagster as dg

from orchestration.partitions import SHARDS, Cell, Keys
from orchestration.refs import read_ref, write_ref
from orchestration.sources import SOURCES, observed
from sae.config import Workspace
from sae.storage import Store

RETIRED_FACT = "retired_at"
"""The fact of a shard's ref that says when the corpus lost it; UTC, ISO 8601."""


def current_keys(workspace: Workspace, instance: dg.DagsterInstance, listed: Collection[str]) -> Keys:
    """The partitions with the shards that the sources have now, those that Dagster knows first, in its order."""
    known = [shard for shard in instance.get_dynamic_partitions(SHARDS) if shard in listed]
    new = [shard for shard in listed if shard not in set(known)]
    return Keys(workspace.config, [*known, *new])


def register_shards(workspace: Workspace, instance: dg.DagsterInstance, listed: Collection[str]) -> None:
    """Make the dynamic partitions equal to the shards that the sources have; a shard that is gone is retired.

    Only the holder of the writer's lock may call this.
    """
    store = Store(workspace.store)
    known = set(instance.get_dynamic_partitions(SHARDS))
    new = [shard for shard in listed if shard not in known]
    instance.add_dynamic_partitions(SHARDS, new)
    for shard in new:
        _retire(store, shard, None)
    for shard in known - set(listed):
        _retire(store, shard, datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"))
        instance.delete_dynamic_partition(SHARDS, shard)


def report_sources(workspace: Workspace, instance: dg.DagsterInstance, listed: Mapping[str, str]) -> None:
    """Record the version of every source that is not the one recorded last."""
    keys = current_keys(workspace, instance, listed)
    versions = observed(workspace, (cell for name in SOURCES for cell in keys.cells(name)), listed)
    for name in SOURCES:
        cells = {cell: version for cell, version in versions.items() if cell.asset == name}
        last = _last_observed(instance, name)
        for cell, version in cells.items():
            if last.get(cell.partition) != version:
                instance.report_runless_asset_event(
                    dg.AssetObservation(name, partition=cell.partition, tags={"dagster/data_version": version})
                )


def _retire(store: Store, shard: str, moment: str | None) -> None:
    ref = read_ref(store, Cell("corpus", shard))
    if ref and ref.facts.get(RETIRED_FACT) != moment:
        kept = {name: fact for name, fact in ref.facts.items() if name != RETIRED_FACT}
        write_ref(store, replace(ref, facts=kept | ({RETIRED_FACT: moment} if moment else {})))


def _last_observed(instance: dg.DagsterInstance, name: str) -> dict[str | None, str]:
    """The data version observed last, by partition."""
    key, tag = dg.AssetKey(name), "dagster/data_version"
    tags = instance.event_log_storage.get_latest_tags_by_partition(
        key, dg.DagsterEventType.ASSET_OBSERVATION, [tag], asset_partitions=None
    )
    found: dict[str | None, str] = {partition: values[tag] for partition, values in tags.items() if tag in values}
    records = instance.fetch_observations(key, limit=1).records
    if records and records[0].partition_key is None and (observation := records[0].asset_observation):
        found[None] = (observation.tags or {}).get(tag, "")
    return found
