"""The sensor that tells of runs which no refresh tells of: Dagster's own, and refreshes that were killed."""

import json
from pathlib import Path

import dagster as dg
import pytest
from alert_servers import http_server
from tiny_pipeline import write_config

from orchestration.automation import automation, failure_alerts
from orchestration.reaping import KILLED_TAG, REFRESH_TAG
from orchestration.records import TRIGGER_TAG
from sae.errors import AtlasError


@dg.op
def break_down() -> None:
    raise AtlasError("the disk is full")


@dg.job
def job() -> None:
    break_down()


def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tags: dict[str, str]) -> list[dict]:
    """What a webhook hears of a run with these tags that failed."""
    with http_server() as received, dg.instance_for_test() as instance:
        hook = {"webhook": f"http://127.0.0.1:{received.port}/"}
        monkeypatch.setenv("ATLAS_CONFIG", str(write_config(tmp_path, lambda config: config.update(alerts=hook))))
        result = job.execute_in_process(instance=instance, raise_on_error=False, tags=tags)
        context = dg.build_run_status_sensor_context(
            sensor_name="run_failed",
            dagster_event=result.get_run_failure_event(),
            dagster_instance=instance,
            dagster_run=instance.get_run_by_id(result.run_id),  # type: ignore[arg-type]
        )
        failure_alerts()(context.for_run_failure())
        return [json.loads(body) for _, _, body in received.requests]


@pytest.mark.parametrize("tags", [{}, {REFRESH_TAG: "refresh", KILLED_TAG: "true"}], ids=["dagster's own", "killed"])
def test_runs_that_no_refresh_tells_of_are_told(tags, tmp_path, monkeypatch):
    (said,) = told(tmp_path, monkeypatch, tags)

    (event,) = said["events"]
    assert said["trigger"].startswith("run ")
    assert event["kind"] == "failed"
    assert "the disk is full" in event["reason"]


@pytest.mark.parametrize("tags", [{TRIGGER_TAG: "nightly"}, {REFRESH_TAG: "refresh"}], ids=["a part", "a refresh"])
def test_what_a_refresh_tells_of_is_not_told_twice(tags, tmp_path, monkeypatch):
    assert told(tmp_path, monkeypatch, tags) == []


def test_there_is_no_such_sensor_where_nobody_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("ATLAS_CONFIG", str(write_config(tmp_path)))

    assert [sensor.name for sensor in automation().sensors or ()] == ["corpus_sensor"]
