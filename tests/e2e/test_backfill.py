"""A backfill that somebody launches in Dagster's pages, and that its daemon carries out."""

import json
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from daemons import daemon, wait_for
from tiny_pipeline import SITE, environment, instance, made_since

from orchestration.partitions import Cell
from orchestration.refs import ref_path
from orchestration.runner import dagster_home
from sae.config import load_workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

ASSETS = ("features", "logit_weights")
PAIRS = [f"{SITE}.large", f"{SITE}.small"]
MUTATION = """
mutation Launch($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""


def launch(config: Path) -> str:
    """What the button of Dagster's pages sends; the backfill's id."""
    params = {"assetSelection": [{"path": [asset]} for asset in ASSETS], "partitionNames": PAIRS}
    command = [str(Path(sys.executable).parent / "dagster-graphql"), "-m", "orchestration.definitions"]
    answered = config.parent / "answer.json"
    subprocess.run(
        [*command, "-t", MUTATION, "-v", json.dumps({"params": params}), "-o", str(answered)],
        env=environment(config) | {"DAGSTER_HOME": str(dagster_home(load_workspace(config)))},
        timeout=300,
        check=True,
    )
    answer = json.loads(answered.read_text())["data"]["launchPartitionBackfill"]
    assert answer["__typename"] == "LaunchBackfillSuccess", answer
    return answer["backfillId"]


def versions(dagster: dg.DagsterInstance) -> dict[Cell, str]:
    """The data version in the last materialisation of each cell."""
    found: dict[Cell, str] = {}
    for asset in ASSETS:
        for record in dagster.fetch_materializations(dg.AssetKey(asset), limit=len(PAIRS)).records:
            assert record.asset_materialization is not None
            tags = record.asset_materialization.tags or {}
            found[Cell(asset, record.partition_key)] = tags["dagster/data_version"]
    return found


def test_each_partition_of_each_asset_has_its_own_materialisation_and_a_refresh_finds_nothing_to_do(place, command):
    config, log = place.config, place.folder / "daemon.log"
    cells = [Cell(asset, pair) for asset in ASSETS for pair in PAIRS]
    before = {cell: place.ref(*cell) for cell in cells}
    for cell in cells:
        place.store.delete(ref_path(cell))
    _, cursor = made_since(config, 0)
    with daemon(config, log), instance(load_workspace(config)) as dagster:
        backfill = launch(config)

        def ended() -> bool:
            found = dagster.get_backfill(backfill)
            return found is not None and found.status.value.startswith(("COMPLETED", "FAILED", "CANCELED"))

        wait_for("the end of the backfill", ended, log)

        ends = dagster.get_backfill(backfill)
        assert ends is not None
        assert ends.status.value == "COMPLETED_SUCCESS", log.read_text()[-3000:]
        runs = dagster.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill}))
        recorded = versions(dagster)

    assert len(runs) < len(cells), "a run makes a range"
    assert made_since(config, cursor)[0] == sorted(map(str, cells))
    assert recorded == {cell: ref.data_version for cell, ref in before.items()}
    assert {cell: place.ref(*cell).build_key for cell in cells} == {cell: ref.build_key for cell, ref in before.items()}
    assert {place.ref(*cell).run_id for cell in cells} == {run.run_id for run in runs}
    standing = json.loads(command("status", "--json").out)["cells"]
    assert {cell["state"] for cell in standing} == {"fresh"}
