"""How an asset of this platform is declared: its partitions, mappings and checks come from the tables, not from hand.

@made(keys, "labels", group="labels", loads=("examples",), after=("labeler_config",), io="tables", kinds={"python"})
def labels(context, atlas, examples): ...
"""

from collections.abc import Callable, Iterable
from typing import Any

import dagster as dg

from orchestration import checks
from orchestration.event_hooks import failure_told, nothing_told
from orchestration.partitions import Keys
from orchestration.resources import Artifact, Atlas
from orchestration.sources import observed

OWNERS = ["team:interpretability"]
ARTIFACT = dg.PythonObjectDagsterType(Artifact)


def made(
    keys: Keys,
    name: str,
    *,
    group: str,
    io: str,
    loads: Iterable[str] = (),
    after: Iterable[str] = (),
    kinds: set[str],
    code_version: str = "1",
    pool: str | None = None,
    output_required: bool = True,
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Declare an asset: `loads` become arguments of its body, `after` are upstream assets that it does not load.

    The body's docstring is the description that people read in Dagster.
    """
    return dg.asset(
        name=name,
        partitions_def=keys.of(name),
        ins={up: dg.AssetIn(up, partition_mapping=keys.mapping(up, name)) for up in loads},
        deps=[keys.dep(up, name) for up in after],
        check_specs=checks.specs(name),
        group_name=group,
        io_manager_key=io,
        kinds=kinds,
        owners=OWNERS,
        code_version=code_version,
        pool=pool,
        output_required=output_required,
        hooks={failure_told} if output_required else {failure_told, nothing_told},
        # The IO manager gets an Artifact whatever the body's annotation says.
        dagster_type=ARTIFACT,
    )


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
