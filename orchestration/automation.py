"""What starts a refresh by itself: the schedule of the config, and a sensor that finds new or changed corpus files."""

import dagster as dg

from orchestration.partitions import SHARDS
from orchestration.sources import shards
from sae.config import load_workspace
from sae.errors import AtlasError
from sae.identity import content_id

SENSOR_INTERVAL_S = 60


def automation() -> dg.Definitions:
    """Job `refresh`, its nightly schedule and the corpus sensor; all of them leave the deciding to the planner."""
    schedule = load_workspace().config.schedule

    @dg.op
    def bring_up_to_date(context: dg.OpExecutionContext) -> None:
        """Make what is missing or stale. Fails when a cell failed, after all others were made."""
        from orchestration.runner import open_session, refresh

        outcome = refresh(open_session(load_workspace()), trigger=context.job_name, say=context.log.info)
        context.log.info(f"{len(outcome.made)} made, {len(outcome.failed)} failed")
        if outcome.failed:
            raise AtlasError("; ".join(f"{cell}: {error}" for cell, error in outcome.failed.items()))

    @dg.job(name="refresh", description="Plan by level and make what is missing or stale.")
    def refresh_job() -> None:
        bring_up_to_date()

    @dg.sensor(job=refresh_job, minimum_interval_seconds=SENSOR_INTERVAL_S)
    def corpus_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        """Registers new shards as partitions and asks for a refresh when any shard's version changed."""
        found = shards(load_workspace())
        cursor = content_id(found)
        if context.cursor == cursor:
            return dg.SkipReason("no corpus changed")
        known = set(context.instance.get_dynamic_partitions(SHARDS))
        new = [shard for shard in found if shard not in known]
        return dg.SensorResult(
            run_requests=[dg.RunRequest(run_key=cursor)],
            dynamic_partitions_requests=[dg.DynamicPartitionsDefinition(name=SHARDS).build_add_request(new)]
            if new
            else [],
            cursor=cursor,
        )

    nightly = dg.ScheduleDefinition(
        name="nightly_refresh",
        job=refresh_job,
        cron_schedule=schedule.refresh,
        execution_timezone=schedule.timezone,
    )
    return dg.Definitions(jobs=[refresh_job], schedules=[nightly], sensors=[corpus_sensor])
