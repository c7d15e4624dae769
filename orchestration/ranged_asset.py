"""How an asset of many small partitions is declared: one run makes a range of them, each with a record of its own.

A run of its own costs each partition several times what making it does. In a range every partition still has its own
materialisation, data version and ref; one that fails does not stop the others, and a killed run leaves what it made.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import dagster as dg

from orchestration import checks, memory
from orchestration.asset import OWNERS
from orchestration.failures import FAILED_PARTITIONS, Failure, failure_of
from orchestration.io_managers import ArtifactIOManager
from orchestration.partitions import Cell, Keys
from orchestration.resources import Atlas, Stage, utc_now

Body = Callable[[dg.AssetExecutionContext, Atlas, list[Stage]], Iterator[dg.MaterializeResult]]
"""Makes some stages together; yields the result of each as soon as it is made."""


def made_in_ranges(
    keys: Keys,
    name: str,
    *,
    group: str,
    io: str,
    after: Iterable[str],
    kinds: set[str],
    together: Callable[[str], str] = lambda key: key,
    code_version: str = "1",
    pool: str | None = None,
) -> Callable[[Body], dg.AssetsDefinition]:
    """Declare an asset whose body makes several partitions: those of a run for which `together` gives one name.

    The body's docstring is the description that people read in Dagster.
    """

    def declare(body: Body) -> dg.AssetsDefinition:
        def make(context: dg.AssetExecutionContext) -> Iterator[Any]:
            yield from _make_all(context, getattr(context.resources, io), body, together)

        return dg.asset(
            name=name,
            description=inspect.getdoc(body),
            partitions_def=keys.of(name),
            deps=[keys.dep(up, name) for up in after],
            check_specs=checks.specs(name),
            group_name=group,
            required_resource_keys={"atlas", io},
            kinds=kinds,
            owners=OWNERS,
            code_version=code_version,
            pool=pool,
            backfill_policy=dg.BackfillPolicy.single_run(),
            # The record of each partition is an event of its own, not the step's one output.
            output_required=False,
        )(make)

    return declare


def _make_all(
    context: dg.AssetExecutionContext, manager: ArtifactIOManager, body: Body, together: Callable[[str], str]
) -> Iterator[dg.AssetMaterialization | dg.AssetCheckResult]:
    atlas: Atlas = context.resources.atlas
    partitions = {str(key): key for key in context.partition_keys}
    groups: dict[str, list[Stage]] = {}
    for stage in atlas.stages(context):
        groups.setdefault(together(str(stage.cell.partition)), []).append(stage)
    failed: dict[str, Failure] = {}
    results: list[tuple[str, dg.AssetCheckResult]] = []
    for stages in groups.values():
        waiting = {str(stage.cell.partition) for stage in stages}
        memory.begin()
        try:
            for result in body(context, atlas, [replace(stage, started_at=utc_now()) for stage in stages]):
                ref = manager.keep(result.value)
                partition = str(ref.partition)
                # Yielded, and not logged: what a body logs is recorded at its end, and lost where that is a failure.
                yield dg.AssetMaterialization(
                    ref.asset,
                    partition=partitions[partition],
                    metadata=result.metadata,
                    tags=_version_tags(ref.data_version, ref.code_version),
                )
                atlas.events.completed(ref, context.run_id, atlas.store)
                waiting.remove(partition)
                results += [(partition, outcome) for outcome in result.check_results or ()]
        except Exception as error:
            failure = failure_of(error, context.run_id)
            context.log.exception(f"{', '.join(sorted(waiting))}: {failure.words}")
            for partition in sorted(waiting):
                atlas.events.failed(Cell(stages[0].cell.asset, partition), context.run_id, failure.words)
            failed |= dict.fromkeys(waiting, failure)
    if failed:
        first = next(iter(failed))
        more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
        raise dg.Failure(
            f"{first}{more}: {failed[first].words}",
            metadata={
                FAILED_PARTITIONS: dg.MetadataValue.json({key: value.as_json() for key, value in failed.items()})
            },
            allow_retries=False,
        )
    for spec in context.assets_def.check_specs:
        yield _over_the_range(
            spec.name, [(key, outcome) for key, outcome in results if outcome.check_name == spec.name]
        )


def _version_tags(data_version: str, code_version: str) -> dict[str, str]:
    """The tags by which Dagster knows the version of a materialisation that a body reports itself."""
    return {"dagster/data_version": data_version, "dagster/code_version": code_version}


def _over_the_range(name: str, outcomes: list[tuple[str, dg.AssetCheckResult]]) -> dg.AssetCheckResult:
    missed = [partition for partition, outcome in outcomes if not outcome.passed]
    shown: dict[str, Any] = dict(outcomes[0][1].metadata or {}) if len(outcomes) == 1 else {"partitions": len(outcomes)}
    return dg.AssetCheckResult(
        passed=not missed,
        check_name=name,
        severity=dg.AssetCheckSeverity.WARN,
        metadata=shown | ({"missed": dg.MetadataValue.json(missed)} if missed else {}),
    )
