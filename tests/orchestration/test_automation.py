"""What asks for a refresh, and when: from what is recorded now, so that nothing forgotten loses a change."""

import time
from typing import Any

import dagster as dg
import pytest
import yaml

from orchestration.automation import CHANGE_TAG, MOST_TRIES, automation, changed_shards, trigger_of
from orchestration.reaping import ENDED, REFRESH_TAG, SETTLING_S, reap_refreshes
from orchestration.runner import dagster_home, open_session, refresh
from sae.config import load_workspace
from sae.errors import ConfigError

CONFIG = {
    "store": "store",
    "state": "state",
    "models": {"w": {"source": "world", "steps": 1}},
    "corpora": {"mine": {"source": "files", "paths": ["*.txt"], "shards": 2}},
    "sites": [{"model": "w", "hookpoint": "layers.0", "corpora": ["mine"]}],
    "dictionaries": {"one": {"architecture": "topk", "latents": 4, "k": 1}},
    "schedule": {"refresh": "30 4 * * 1", "timezone": "Europe/Berlin"},
}


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text(f"text {name}")
    (tmp_path / "atlas.yaml").write_text(yaml.safe_dump(CONFIG))
    monkeypatch.setenv("ATLAS_CONFIG", str(tmp_path / "atlas.yaml"))
    monkeypatch.delenv("ATLAS_STORE", raising=False)
    return load_workspace()


@pytest.fixture
def instance(workspace):
    with dg.DagsterInstance.from_config(str(dagster_home(workspace))) as instance:
        yield instance


def read_corpora(workspace):
    return refresh(open_session(workspace), trigger="test", select=lambda cell: cell.asset == "corpus").made


def tick(instance) -> Any:
    (sensor,) = automation().sensors or []
    return sensor(dg.build_sensor_context(instance=instance))  # type: ignore[operator]


def start(instance, **tags):
    job = automation().resolve_job_def("refresh")
    return instance.create_run_for_job(job, tags={REFRESH_TAG: "refresh", **tags})


def test_the_schedule_follows_the_config(workspace):
    (nightly,) = automation().schedules or []

    assert isinstance(nightly, dg.ScheduleDefinition)
    assert (nightly.cron_schedule, nightly.execution_timezone) == ("30 4 * * 1", "Europe/Berlin")


def test_a_time_that_is_none_is_refused_by_its_key(workspace, monkeypatch):
    text = workspace.path.read_text().replace("30 4 * * 1", "99 4 * * 1")
    workspace.path.write_text(text)

    with pytest.raises(ConfigError, match=r"schedule\.refresh: '99 4 \* \* 1' is no cron expression"):
        automation()


@pytest.mark.parametrize(
    ("tags", "trigger"),
    [
        ({"dagster/schedule_name": "nightly_refresh"}, "schedule"),
        ({"dagster/sensor_name": "corpus_sensor"}, "sensor"),
        ({"dagster/user": "somebody"}, "refresh"),
    ],
)
def test_a_run_names_what_asked_for_it(tags, trigger):
    assert trigger_of(tags) == trigger


def test_while_a_change_waits_every_tick_asks_for_it_whatever_was_asked_before(workspace, instance):
    first, second = tick(instance), tick(instance)

    assert isinstance(first, dg.RunRequest)
    assert isinstance(second, dg.RunRequest)
    assert first.tags[CHANGE_TAG] == second.tags[CHANGE_TAG]


def test_when_the_store_holds_the_corpora_as_they_are_nothing_is_asked_for(workspace, instance):
    read_corpora(workspace)
    (workspace.path.parent / "a.txt").touch()

    assert isinstance(tick(instance), dg.SkipReason)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda folder: (folder / "a.txt").write_text("other"), 1),
        (lambda folder: (folder / "c.txt").write_text("new"), 1),
        (lambda folder: (folder / "a.txt").unlink(), 3),
    ],
    ids=["changed", "new", "gone: the other file is now cut in two"],
)
def test_a_changed_new_or_lost_file_is_seen(change, named, workspace, instance):
    read_corpora(workspace)
    change(workspace.path.parent)

    assert len(changed_shards(workspace, instance)) == named
    assert isinstance(tick(instance), dg.RunRequest)


def test_a_refresh_under_way_is_not_doubled(workspace, instance):
    start(instance)

    assert isinstance(tick(instance), dg.SkipReason)


def test_a_change_that_keeps_failing_is_left_to_the_schedule(workspace, instance):
    asked = tick(instance)
    for _ in range(MOST_TRIES):
        run = start(instance, **asked.tags)
        instance.report_run_failed(run, "no")

    skipped = tick(instance)

    assert isinstance(skipped, dg.SkipReason)
    assert f"failed {MOST_TRIES} times" in str(skipped.skip_message)


def test_a_refresh_whose_process_was_killed_is_reaped_once_nobody_writes(workspace, instance):
    run = start(instance)
    started(instance, run)
    later = time.time() + SETTLING_S + 1

    assert reap_refreshes(workspace, instance, time.time()) == [], "it may still be on its way to the lock"
    assert reap_refreshes(workspace, instance, later) == [run.run_id]

    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    assert found.status == dg.DagsterRunStatus.FAILURE
    assert any(entry.dagster_event and entry.dagster_event.message == ENDED for entry in instance.all_logs(run.run_id))


def test_a_refresh_that_was_killed_while_it_started_is_reaped_as_well(workspace, instance):
    run = start(instance)
    event = dg.DagsterEvent(event_type_value=dg.DagsterEventType.PIPELINE_STARTING.value, job_name=run.job_name)
    instance.report_dagster_event(event, run.run_id)

    assert reap_refreshes(workspace, instance, time.time()) == []
    assert reap_refreshes(workspace, instance, time.time() + SETTLING_S + 1) == [run.run_id]


def test_what_a_killed_refresh_left_is_asked_for_again_though_its_files_were_read(workspace, instance):
    read_corpora(workspace)
    run = start(instance, **{CHANGE_TAG: "a change"})
    started(instance, run)
    reap_refreshes(workspace, instance, time.time() + SETTLING_S + 1)

    asked = tick(instance)

    assert isinstance(asked, dg.RunRequest)
    assert asked.tags[CHANGE_TAG] == "a change"


def started(instance, run):
    event = dg.DagsterEvent(event_type_value=dg.DagsterEventType.RUN_START.value, job_name=run.job_name)
    instance.report_dagster_event(event, run.run_id)


def test_a_shard_that_is_gone_is_retired_and_comes_back(workspace, instance):
    from orchestration.observing import RETIRED_FACT
    from orchestration.partitions import SHARDS, Cell
    from orchestration.refs import read_ref
    from sae.storage import Store

    store, folder = Store(workspace.store), workspace.path.parent
    (folder / "c.txt").write_text("text c")
    read_corpora(workspace)
    before = set(instance.get_dynamic_partitions(SHARDS))
    (folder / "c.txt").rename(folder / "c.gone")
    read_corpora(workspace)
    (shard,) = before - set(instance.get_dynamic_partitions(SHARDS))
    retired = read_ref(store, Cell("corpus", shard))
    (folder / "c.gone").rename(folder / "c.txt")

    made = read_corpora(workspace)

    back = read_ref(store, Cell("corpus", shard))
    assert retired is not None
    assert back is not None
    assert retired.facts[RETIRED_FACT] > retired.finished_at
    assert RETIRED_FACT not in back.facts
    assert made == []
