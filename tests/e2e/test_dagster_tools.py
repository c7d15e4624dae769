"""Dagster's own commands and automation on the definitions that `atlas run` uses."""

import json
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml
from tiny_pipeline import ROOT, environment, instance, made_since

from orchestration.definitions import defs
from orchestration.partitions import PARTITIONED_BY
from orchestration.sources import SOURCES
from sae.config import load_workspace

DG = Path(sys.executable).with_name("dg")


def dg_command(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `dg …` in the project, on this config's instance."""
    home = load_workspace(config).state / "dagster"
    return subprocess.run(
        [str(DG), *arguments],
        cwd=ROOT,
        env=environment(config) | {"DAGSTER_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_dg_checks_the_definitions(first_run):
    done = dg_command(first_run.config, "check", "defs")

    assert done.returncode == 0, done.stderr
    assert "All definitions loaded successfully" in done.stdout + done.stderr


def test_dg_lists_every_asset(first_run):
    done = dg_command(first_run.config, "list", "defs", "--json")

    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout[done.stdout.index("{") :])
    assert {asset["asset_key"] for asset in listed["assets"]} == set(PARTITIONED_BY)
    assert [job["name"] for job in listed["jobs"]] == ["refresh"]
    assert [sensor["name"] for sensor in listed["sensors"]] == ["corpus_sensor"]
    assert [schedule["name"] for schedule in listed["schedules"]] == ["nightly_refresh"]


def test_dg_launches_one_partition(place):
    _, cursor = made_since(place.config, 0)
    before = place.ref("corpus", "world-00000")

    done = dg_command(place.config, "launch", "--assets", "corpus", "--partition", "world-00000")

    assert done.returncode == 0, done.stderr
    assert made_since(place.config, cursor)[0] == ["corpus[world-00000]"]
    assert place.ref("corpus", "world-00000").data_version == before.data_version


@pytest.fixture
def definitions(reading):
    return defs()


def test_every_asset_tells_people_what_it_is(definitions):
    graph = definitions.resolve_asset_graph()

    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.group_name not in (None, "default"), key
        assert node.description, key
        assert node.kinds, key
        # Dagster takes no owner for a source that is observed.
        assert node.owners or key.to_user_string() in SOURCES, key


def test_every_asset_that_is_made_has_a_code_version(definitions):
    graph = definitions.resolve_asset_graph()

    for name in set(PARTITIONED_BY) - set(SOURCES):
        assert graph.get(dg.AssetKey(name)).code_version, name


def test_the_schedule_comes_from_the_config(definitions):
    schedule = definitions.resolve_schedule_def("nightly_refresh")

    assert schedule.cron_schedule == "0 3 * * *"
    assert schedule.execution_timezone == "UTC"


def test_the_sensor_asks_for_a_refresh_when_the_corpus_changed(place):
    with instance(load_workspace(place.config)) as dagster:
        sensor = defs().resolve_sensor_def("corpus_sensor")

        quiet = sensor.evaluate_tick(dg.build_sensor_context(dagster, definitions=defs()))
        config = yaml.safe_load(place.config.read_text())
        config["corpora"]["world"]["shards"] = 3
        place.config.write_text(yaml.safe_dump(config))
        more = sensor.evaluate_tick(dg.build_sensor_context(dagster, cursor="lost", definitions=defs()))

    assert not quiet.run_requests
    assert quiet.skip_message == "the store holds the corpora as they are"
    assert len(more.run_requests or []) == 1


def test_the_refresh_job_runs_on_the_instance(place):
    with instance(load_workspace(place.config)) as dagster:
        _, cursor = made_since(place.config, 0)

        result = defs().resolve_job_def("refresh").execute_in_process(instance=dagster)

        assert result.success
    assert made_since(place.config, cursor)[0] == [], "nothing is stale"
