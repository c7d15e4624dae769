"""What the step of an asset does: it makes the cells of its run one after the other, each with a record of its own.

A run costs each partition several times what making a small one does, so a run makes a range of them. Every partition
still has its own materialisation, data version, checks and ref; one that fails does not stop the others, and a killed
run leaves what it made.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import dagster as dg

# The mark of a step that recorded its materialisations itself. Without an output, Dagster skips what follows in the
# same run; with an unmarked one, it records every partition of the range a second time, with one version for all.
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION as RECORDED

from orchestration import memory
from orchestration.failures import FAILED_CELLS, Failure, failure_of
from orchestration.io_managers import STORED_BY, ArtifactIOManager
from orchestration.partitions import Cell
from orchestration.refs import Ref, content_of
from orchestration.resources import Atlas, Stage
from orchestration.sources import SOURCES
from sae.identity import content_id

Body = Callable[[dg.AssetExecutionContext, Atlas, list[Stage]], Iterator[dg.MaterializeResult]]
"""Makes some stages together; yields the result of each as soon as it is made. A gate may give none."""


def make_cells(context: dg.AssetExecutionContext, body: Body, together: Callable[[str], str]) -> Iterator[Any]:
    """Make the cells of a run, those for whose partition `together` gives one name at a time.

    Yields the events that Dagster records. Raises dg.Failure at the end where cells failed, with why each of them did.
    """
    atlas: Atlas = context.resources.atlas
    stages = atlas.stages(context)
    pointers = _pointers(context)
    failed: dict[Cell, Failure] = {}
    made: dict[str, None] = {}
    for group in _grouped(stages, together):
        waiting = {stage.cell: None for stage in group}
        for stage in group:
            atlas.events.started(stage.cell, context.run_id, stage.inputs)
        memory.begin()
        try:
            for result in body(context, atlas, [stage.begun() for stage in group]):
                manager: ArtifactIOManager = getattr(context.resources, STORED_BY[result.value.ref.asset])
                ref = manager.keep(result.value)
                # Yielded, and not logged: what a body logs is recorded at its end, and lost where that is a failure.
                yield from _recorded(context, ref, result, pointers)
                atlas.events.completed(ref, context.run_id, atlas.store)
                del waiting[ref.cell]
                made[ref.asset] = None
        except Exception as error:
            failure = failure_of(error, context.run_id)
            context.log.exception(f"{', '.join(map(str, waiting))}: {failure.words}")
            for cell in waiting:
                atlas.events.failed(cell, context.run_id, failure.words)
            failed |= dict.fromkeys(waiting, failure)
        except BaseException:
            for cell in waiting:
                atlas.events.failed(cell, context.run_id, "it was stopped")
            raise
        else:
            for cell in waiting:
                atlas.events.gave_nothing(cell, context.run_id)
    if failed:
        raise _failure(failed)
    for asset in made:
        yield dg.MaterializeResult(asset_key=asset, metadata={RECORDED: True})
    for spec in context.assets_def.check_specs:
        if spec.key in context.selected_asset_check_keys:
            yield dg.Output(None, output_name=spec.get_python_identifier())


def _grouped(stages: Iterable[Stage], together: Callable[[str], str]) -> list[list[Stage]]:
    groups: dict[str | None, list[Stage]] = {}
    for stage in stages:
        partition = stage.cell.partition
        groups.setdefault(None if partition is None else together(partition), []).append(stage)
    return list(groups.values())


def _recorded(
    context: dg.AssetExecutionContext, ref: Ref, result: dg.MaterializeResult, pointers: Mapping[str, str]
) -> Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation]:
    """The events of one cell: its materialisation, and the outcome of each of its checks."""
    yield dg.AssetMaterialization(
        ref.asset, partition=_dagster_partition(context, ref), metadata=result.metadata, tags=_tags(ref, pointers)
    )
    for outcome in result.check_results or ():
        yield dg.AssetCheckEvaluation(
            dg.AssetKey(ref.asset),
            str(outcome.check_name),
            outcome.passed,
            outcome.metadata,
            severity=outcome.severity,
            partition=ref.partition,
        )


def _dagster_partition(context: dg.AssetExecutionContext, ref: Ref) -> str | None:
    """The partition as Dagster's own key, of which one with two dimensions is more than its text."""
    if ref.partition is None or not isinstance(context.assets_def.partitions_def, dg.MultiPartitionsDefinition):
        return ref.partition
    return context.assets_def.partitions_def.get_partition_key_from_str(ref.partition)


def _pointers(context: dg.AssetExecutionContext) -> dict[str, str]:
    """Where the event log stood for each upstream asset: what Dagster calls stale is what has changed since."""
    found = {}
    for key in {dep for asset in context.selected_asset_keys for dep in context.assets_def.asset_deps[asset]}:
        name = key.to_user_string()
        fetch = context.instance.fetch_observations if name in SOURCES else context.instance.fetch_materializations
        records = fetch(key, limit=1).records
        found[name] = str(records[0].storage_id) if records else "NULL"
    return found


def _tags(ref: Ref, pointers: Mapping[str, str]) -> dict[str, str]:
    """The tags by which Dagster knows the version of a materialisation, and what it was made from."""
    tags = {
        "dagster/data_version": ref.data_version,
        "dagster/data_version_is_user_provided": "true",
        "dagster/code_version": ref.code_version,
    }
    for asset, pointer in pointers.items():
        versions = [content_of(version) for name, version in sorted(ref.inputs.items()) if name.split("[")[0] == asset]
        tags[f"dagster/input_data_version/{asset}"] = versions[0] if len(versions) == 1 else content_id(versions)
        tags[f"dagster/input_event_pointer/{asset}"] = pointer
    return tags


def _failure(failed: Mapping[Cell, Failure]) -> dg.Failure:
    first, *others = failed
    more = f" and {len(others)} more" if others else ""
    return dg.Failure(
        f"{first}{more}: {failed[first].words}",
        metadata={FAILED_CELLS: dg.MetadataValue.json({str(cell): why.as_json() for cell, why in failed.items()})},
        allow_retries=False,
    )
