"""What starts a refresh by itself: the schedule of the config, and a sensor that finds new, changed or lost files.

Neither remembers what it saw. The sensor compares the sources with what the store records, so that a lost cursor, a
killed run or a missed tick loses no change; and whatever starts a refresh, the planner decides what it makes.
"""

import time
from collections.abc import Mapping

import dagster as dg

from orchestration.alerts import Event, alert
from orchestration.partitions import SHARDS, Cell
from orchestration.reaping import KILLED_TAG, REFRESH_TAG, reap_refreshes
from orchestration.recorded import Recorded
from orchestration.records import TRIGGER_TAG
from orchestration.sources import shards
from sae.config import Workspace, load_workspace
from sae.errors import AtlasError, ConfigError
from sae.identity import content_id
from sae.storage import Store

CHANGE_TAG = "atlas/change"
"""Tag of a run that the sensor asked for: which change it is to bring in."""
MOST_TRIES = 3
"""How often the sensor asks for one change; the schedule tries again at its time."""
LOCK_WAIT_S = 3600.0
"""How long a refresh of the daemon waits for another writer."""
_ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


def automation() -> dg.Definitions:
    """Job `refresh`, its nightly schedule and the corpus sensor; all of them leave the deciding to the planner."""
    config = load_workspace().config
    schedule, alerts = config.schedule, config.alerts

    @dg.op
    def bring_up_to_date(context: dg.OpExecutionContext) -> None:
        """Make what is missing or stale. Fails when a cell failed, after all others were made."""
        from orchestration.runner import open_session, refresh

        session = open_session(load_workspace())
        outcome = refresh(session, trigger=trigger_of(context.run.tags), say=context.log.info, wait_s=LOCK_WAIT_S)
        context.log.info(f"{len(outcome.made)} made, {len(outcome.failed)} failed")
        if outcome.failed:
            raise AtlasError("; ".join(f"{cell}: {error}" for cell, error in outcome.failed.items()))

    @dg.job(
        name="refresh", description="Plan by level and make what is missing or stale.", tags={REFRESH_TAG: "refresh"}
    )
    def refresh_job() -> None:
        bring_up_to_date()

    @dg.sensor(
        job=refresh_job,
        minimum_interval_seconds=schedule.watch_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def corpus_sensor(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        """Asks for a refresh while the corpora are not what the store records of them, and after one was killed."""
        workspace = load_workspace()
        reap_refreshes(workspace, context.instance, time.time())
        changed = changed_shards(workspace, context.instance)
        (last,) = context.instance.get_runs(dg.RunsFilter(tags={REFRESH_TAG: "refresh"}), limit=1) or [None]
        killed = last is not None and KILLED_TAG in last.tags
        if not changed and not killed:
            return dg.SkipReason("the store holds the corpora as they are")
        if last is not None and last.status in _ACTIVE:
            return dg.SkipReason(f"{len(changed)} shards changed; run {last.run_id} is refreshing")
        # A killed run hands its change on, so that one that kills every run is not asked for without end.
        change = last.tags.get(CHANGE_TAG, last.run_id) if last is not None and killed else content_id(changed)
        tried = context.instance.get_runs(dg.RunsFilter(tags={CHANGE_TAG: change}), limit=MOST_TRIES)
        if len(tried) >= MOST_TRIES:
            return dg.SkipReason(
                f"the same change failed {MOST_TRIES} times: see run {tried[0].run_id}. The schedule tries again."
            )
        return dg.RunRequest(tags={CHANGE_TAG: change})

    try:
        nightly = dg.ScheduleDefinition(
            name="nightly_refresh",
            job=refresh_job,
            cron_schedule=schedule.refresh,
            execution_timezone=schedule.timezone,
            default_status=dg.DefaultScheduleStatus.RUNNING,
        )
    except dg.DagsterInvalidDefinitionError as error:
        raise ConfigError(
            f"schedule.refresh: {schedule.refresh!r} is no cron expression. Five fields are wanted, like '0 3 * * *'."
        ) from error
    sensors: list[dg.SensorDefinition] = [corpus_sensor]
    if alerts.webhook is not None or alerts.email is not None:
        sensors.append(failure_alerts())
    return dg.Definitions(jobs=[refresh_job], schedules=[nightly], sensors=sensors)


def trigger_of(tags: Mapping[str, str]) -> str:
    """What asked for a refresh: the schedule, the sensor, or somebody by hand."""
    if "dagster/schedule_name" in tags:
        return "schedule"
    return "sensor" if "dagster/sensor_name" in tags else "refresh"


def failure_alerts() -> dg.SensorDefinition:
    """A sensor for the alerts that a refresh does not send itself: of killed ones, and of Dagster's own runs."""

    @dg.run_failure_sensor(default_status=dg.DefaultSensorStatus.RUNNING)
    def run_failed(context: dg.RunFailureSensorContext) -> dg.SkipReason | None:
        """A run failed that was no part of a refresh, or a refresh ended with its process."""
        run = context.dagster_run
        # A part of a refresh is told of by the refresh, and so is a refresh that lived to its end.
        if TRIGGER_TAG in run.tags or (REFRESH_TAG in run.tags and KILLED_TAG not in run.tags):
            return dg.SkipReason("its refresh tells of it")
        workspace = load_workspace()
        assets = sorted(key.to_user_string() for key in run.asset_selection or ())
        event = Event("failed", ", ".join(assets) or run.job_name, run.tags.get("dagster/partition"), _words(context))
        for fault in alert(workspace.config.alerts, f"run {run.run_id}", [event]):
            context.log.warning(fault)
        return None

    return run_failed


def _words(context: dg.RunFailureSensorContext) -> str:
    """The first failed step's error, otherwise what the run's own failure says."""
    steps = context.get_step_failure_events()
    error = steps[0].step_failure_data.error if steps else None
    message = (error.cause or error).message if error else context.failure_event.message or "it failed"
    return " ".join(message.split())[:500]


def changed_shards(workspace: Workspace, instance: dg.DagsterInstance) -> dict[str, str | None]:
    """The shards whose source is not the recorded one, with the version that it has; None where it is gone."""
    recorded = Recorded(Store(workspace.store))
    listed = shards(workspace)
    changed: dict[str, str | None] = {}
    for shard, version in listed.items():
        ref = recorded.ref(Cell("corpus", shard))
        if ref is None or ref.inputs.get(str(Cell("corpus_source", shard))) != version:
            changed[shard] = version
    gone = [shard for shard in instance.get_dynamic_partitions(SHARDS) if shard not in listed]
    return changed | dict.fromkeys(gone)
