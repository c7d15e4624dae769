"""Runs that a kill left as started: nobody works on them, and as long as they count as running others wait."""

import dagster as dg
from filelock import Timeout

from orchestration.locking import writer_lock
from orchestration.records import TRIGGER_TAG
from sae.config import Workspace

REFRESH_TAG = "atlas/refresh"
"""Tag of the runs of the job `refresh`, by which the instance lets one run at a time."""
KILLED_TAG = "atlas/killed"
"""Tag of a refresh that ended with its process: what it had not made yet still waits."""
ENDED = "Its process ended before it did."
SETTLING_S = 60.0
"""How long a run may be started before it holds the writer's lock."""
_STARTED = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING]


def reap_parts(instance: dg.DagsterInstance) -> None:
    """Mark as failed the runs of a refresh that ended with its process. Only the holder of the lock may call this."""
    for run in instance.get_runs(dg.RunsFilter(statuses=_STARTED)):
        if run.tags.get(TRIGGER_TAG):
            instance.report_run_failed(run, ENDED)


def reap_refreshes(workspace: Workspace, instance: dg.DagsterInstance, now: float) -> list[str]:
    """Mark as failed the refreshes of the daemon that started a while ago while nobody holds the lock; their ids."""
    records = instance.get_run_records(dg.RunsFilter(tags={REFRESH_TAG: "refresh"}, statuses=_STARTED))
    old = [record for record in records if now - _begun(record) > SETTLING_S]
    if not old:
        return []
    lock = writer_lock(workspace)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return []
    try:
        for record in old:
            instance.add_run_tags(record.dagster_run.run_id, {KILLED_TAG: "true"})
            instance.report_run_failed(record.dagster_run, ENDED)
    finally:
        lock.release()
    return [record.dagster_run.run_id for record in old]


def _begun(record: dg.RunRecord) -> float:
    """When a run started, in seconds since 1970; of one that ended while it did, when it was last heard of."""
    return record.start_time or record.update_timestamp.timestamp()
