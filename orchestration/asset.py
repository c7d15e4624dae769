"""How an asset is declared: its partitions, mappings, checks and IO manager come from the tables, not from hand.

@made(keys, "labels", group="labels", loads=["dictionary", "examples"], after=["labeler_config"], kinds={"python"})
def labels(context, atlas, stage, dictionary, examples): ...

Whatever the body, one run makes a range of partitions (`making.py`); `made_together` is for bodies that make several
partitions, or several assets, in one go.
"""

import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster import BetaWarning

from orchestration import checks
from orchestration.io_managers import STORED_BY, ArtifactIOManager
from orchestration.making import Body, make_cells
from orchestration.partitions import Keys
from orchestration.resources import Atlas, Stage
from orchestration.sources import observed

OWNERS = ["team:interpretability"]


@dataclass(frozen=True)
class Part:
    """One of the assets that a body makes together."""

    name: str
    kinds: set[str]
    code_version: str = "1"
    description: str | None = None
    """What people read of it in Dagster; the body's docstring where it has none of its own."""


def made(
    keys: Keys,
    name: str,
    *,
    group: str,
    loads: Iterable[str] = (),
    after: Iterable[str] = (),
    kinds: set[str],
    code_version: str = "1",
    pool: str | None = None,
) -> Callable[[Callable[..., dg.MaterializeResult | None]], dg.AssetsDefinition]:
    """Declare an asset whose body makes one partition: `body(context, atlas, stage, **loads)`, called for each.

    The values of `loads` become arguments of the body, `after` are upstream assets that it does not load. A body that
    returns None gives nothing: only gates do that. Its docstring is the description that people read in Dagster.
    """
    loaded = list(loads)

    def declare(body: Callable[..., dg.MaterializeResult | None]) -> dg.AssetsDefinition:
        def each(
            context: dg.AssetExecutionContext, atlas: Atlas, stages: list[Stage]
        ) -> Iterator[dg.MaterializeResult]:
            for stage in stages:
                values = {up: _load(context, keys, stage, up) for up in loaded}
                if result := body(context, atlas, stage, **values):
                    yield result

        return _declared(keys, [Part(name, kinds, code_version)], body, each, group, [*loaded, *after], pool, loaded)

    return declare


def made_together(
    keys: Keys,
    *parts: Part,
    group: str,
    after: Iterable[str],
    together: Callable[[str], str] = lambda partition: partition,
    pool: str | None = None,
) -> Callable[[Body], dg.AssetsDefinition]:
    """Declare assets whose body makes several cells: all those of a run for whose partition `together` gives one name.

    `body(context, atlas, stages)` yields the result of each stage as soon as it is made. Where there are several
    parts, they have the same partitions, and a run may ask for some of them.
    """

    def declare(body: Body) -> dg.AssetsDefinition:
        return _declared(keys, parts, body, body, group, after, pool, (), together)

    return declare


def source(keys: Keys, name: str, *, group: str, description: str) -> Any:
    """Declare a source that is observed: its data version is the hash of what it says now."""
    partitions = keys.of(name)

    def observe(context: dg.OpExecutionContext, atlas: Atlas) -> Any:
        known = Keys(atlas.config, shards=context.instance.get_dynamic_partitions("shards"))
        versions = observed(atlas.workspace, iter(known.cells(name)))
        if partitions is None:
            return dg.DataVersion(next(iter(versions.values())))
        return dg.DataVersionsByPartition({str(cell.partition): version for cell, version in versions.items()})

    return dg.observable_source_asset(
        name=name,
        partitions_def=partitions,
        group_name=group,
        description=description,
        tags={"dagster/kind/config" if name.endswith("_config") else "dagster/kind/source": ""},
    )(observe)


def _declared(
    keys: Keys,
    parts: Iterable[Part],
    written: Callable[..., Any],
    body: Body,
    group: str,
    after: Iterable[str],
    pool: str | None,
    loads: Iterable[str],
    together: Callable[[str], str] = lambda partition: partition,
) -> dg.AssetsDefinition:
    """The definition of what a body makes; `written` is the function that stands in the assets' file."""

    def make(context: dg.AssetExecutionContext) -> Iterator[Any]:
        yield from make_cells(context, body, together)

    parts, upstream = list(parts), list(after)
    specs = [
        dg.AssetSpec(
            part.name,
            deps=[keys.dep(up, part.name) for up in upstream],
            description=part.description or inspect.getdoc(written),
            partitions_def=keys.of(part.name),
            group_name=group,
            code_version=part.code_version,
            kinds=part.kinds,
            owners=OWNERS,
            metadata=_code_of(written),
            # A step that gives nothing for any partition, as a gate may, gives no output.
            skippable=True,
        ).with_io_manager_key(STORED_BY[part.name])
        for part in parts
    ]
    return dg.multi_asset(
        name=written.__name__,
        specs=specs,
        check_specs=[spec for part in parts for spec in checks.specs(part.name, keys.of(part.name))],
        can_subset=len(parts) > 1,
        required_resource_keys={"atlas", *(STORED_BY[name] for name in [*loads, *(part.name for part in parts)])},
        backfill_policy=dg.BackfillPolicy.single_run() if keys.of(parts[0].name) else None,
        pool=pool,
    )(make)


def _load(context: dg.AssetExecutionContext, keys: Keys, stage: Stage, upstream: str) -> Any:
    """The value of the one cell of an upstream asset that a stage is made from."""
    (cell,) = keys.upstream(stage.cell, upstream)
    manager: ArtifactIOManager = getattr(context.resources, STORED_BY[upstream])
    return manager.load(cell)


def _code_of(body: Callable[..., Any]) -> dict[str, Any]:
    """The link to where a body stands; Dagster says of these on every start that they are in beta."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BetaWarning)
        place = dg.LocalFileCodeReference(file_path=body.__code__.co_filename, line_number=body.__code__.co_firstlineno)
        return {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=[place])}
