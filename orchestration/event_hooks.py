"""What Dagster's steps tell the lineage events of their end, where no IO manager sees it: failures and closed gates."""

import dagster as dg

from orchestration.failures import assets_of_step, failure_of
from orchestration.partitions import Cell
from orchestration.refs import read_ref
from orchestration.resources import Atlas

_PARTITION_TAG = "dagster/partition"


@dg.failure_hook(name="failure_told", required_resource_keys={"atlas"})
def failure_told(context: dg.HookContext) -> None:
    """A step failed: none of its cells was made."""
    atlas: Atlas = context.resources.atlas
    error = context.op_exception
    words = failure_of(error, context.run_id).words if isinstance(error, Exception) else "it was stopped"
    for cell in _cells(context):
        atlas.events.failed(cell, context.run_id, words)


@dg.success_hook(name="nothing_told", required_resource_keys={"atlas"})
def nothing_told(context: dg.HookContext) -> None:
    """A gate's step ended well: did it let something through?"""
    atlas: Atlas = context.resources.atlas
    for cell in _cells(context):
        ref = read_ref(atlas.store, cell)
        if ref is None or ref.run_id != context.run_id:
            atlas.events.gave_nothing(cell, context.run_id)


def _cells(context: dg.HookContext) -> list[Cell]:
    run = context.instance.get_run_by_id(context.run_id)
    partition = run.tags.get(_PARTITION_TAG) if run else None
    return [Cell(asset, partition) for asset in assets_of_step(str(context.step_key))]
