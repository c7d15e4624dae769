"""One run makes several dictionaries' assets: each pair has records of its own, and Dagster's own runs do the same."""

from collections import Counter

import dagster as dg
import polars as pl
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest
from tiny_pipeline import SITE, instance, made_since, run

import sae.features.logit_weights
from orchestration.io_managers import resources
from orchestration.partitions import PARTITIONED_BY, Cell
from orchestration.refs import ref_path
from orchestration.resources import Atlas
from orchestration.runner import Session, open_session, refresh
from orchestration.sources import SOURCES
from sae.config import load_workspace
from sae.errors import AtlasError

PAIRS = [f"{SITE}.large", f"{SITE}.small"]


def forget(place, asset: str) -> None:
    for pair in PAIRS:
        place.store.delete(ref_path(Cell(asset, pair)))


def materialisations(session: Session, asset: str) -> list[dg.EventLogRecord]:
    """Those of the last run that made it, the last one first."""
    records = list(session.instance.fetch_materializations(dg.AssetKey(asset), limit=100).records)
    return [record for record in records if record.run_id == records[0].run_id]


def version(record: dg.EventLogRecord) -> str:
    event = record.asset_materialization
    assert event is not None
    return (event.tags or {})["dagster/data_version"]


def native(session: Session, *assets: str) -> dg.ExecuteInProcessResult:
    """A run over both pairs, as a backfill that somebody starts in Dagster's pages makes it."""
    return dg.materialize(
        list(session.definitions.assets or []),  # type: ignore[arg-type]
        selection=list(assets),
        instance=session.instance,
        resources=resources(Atlas()),
        tags={"dagster/asset_partition_range_start": PAIRS[0], "dagster/asset_partition_range_end": PAIRS[1]},
        raise_on_error=False,
    )


def test_a_refresh_makes_what_two_dictionaries_need_in_one_run_a_stage(first_run):
    with instance(load_workspace(first_run.config)) as dagster:
        runs = {
            asset: {record.run_id for record in dagster.fetch_materializations(dg.AssetKey(asset), limit=100).records}
            for asset, kind in PARTITIONED_BY.items()
            if kind == "dictionary"
        }

    assert {asset: len(ids) for asset, ids in runs.items()} == dict.fromkeys(runs, 1)
    assert runs["features"] == runs["examples"] == runs["attributions"], "they wait for the same assets"


def test_every_partition_has_a_data_version_and_check_results_of_its_own(first_run):
    session = open_session(load_workspace(first_run.config))

    found = {record.partition_key: version(record) for record in materialisations(session, "labels")}
    key = dg.AssetCheckKey(dg.AssetKey("labels"), "labels_cover")
    checks = session.instance.event_log_storage.get_asset_check_execution_history(key, limit=10)

    assert found == {pair: first_run.ref("labels", pair).data_version for pair in PAIRS}
    outcomes = {check.partition: check.evaluation.metadata["value"].value for check in checks if check.evaluation}
    assert outcomes == {pair: first_run.ref("labels", pair).facts["checks"][0]["value"] for pair in PAIRS}
    assert {check.status.value for check in checks} == {"SUCCEEDED"}


def test_dagster_itself_finds_everything_fresh(first_run):
    session = open_session(load_workspace(first_run.config))
    graph = session.definitions.resolve_asset_graph()
    resolver = CachingStaleStatusResolver(session.instance, graph, LoadingContextForTest(session.instance))
    cells = [cell for asset in PARTITIONED_BY if asset not in SOURCES for cell in session.keys().cells(asset)]

    causes = {str(cell): resolver.get_stale_causes(dg.AssetKey(cell.asset), cell.partition) for cell in cells}
    status = {str(cell): resolver.get_status(dg.AssetKey(cell.asset), cell.partition) for cell in cells}

    assert status == dict.fromkeys(status, StaleStatus.FRESH), {name: why for name, why in causes.items() if why}


def test_a_run_of_dagsters_own_makes_two_assets_over_a_range(place):
    session = open_session(load_workspace(place.config))
    before = place.ref("logit_weights", PAIRS[0])
    forget(place, "features")
    forget(place, "logit_weights")

    result = native(session, "dictionary", "features", "logit_weights")

    assert result.success
    made = Counter(
        (event.asset_key.to_user_string(), event.partition)  # type: ignore[union-attr]
        for event in result.get_asset_materialization_events()
    )
    assert made == {(asset, pair): 1 for asset in ("dictionary", "features", "logit_weights") for pair in PAIRS}
    assert place.ref("logit_weights", PAIRS[0]).data_version == before.data_version
    assert {record.partition_key: version(record) for record in materialisations(session, "features")} == {
        pair: place.ref("features", pair).data_version for pair in PAIRS
    }
    _, cursor = made_since(place.config, 0)
    assert run(place.config).made == []
    assert made_since(place.config, cursor)[0] == [], "a refresh finds it as it would have made it"


def test_an_asset_of_somebodys_own_loads_what_it_follows(first_run):
    session = open_session(load_workspace(first_run.config))
    heights = []

    @dg.asset(partitions_def=session.keys().of("labels"))
    def mine(labels: dict[str, pl.DataFrame]) -> None:
        heights.append(labels["labels"].height)

    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize(
            [*(session.definitions.assets or []), mine],  # type: ignore[list-item]
            selection=["mine"],
            partition_key=PAIRS[1],
            instance=instance,
            resources=resources(Atlas(config_path=str(first_run.config))),
        )

    assert heights == [
        pl.read_parquet(first_run.store.verify(first_run.ref("labels", PAIRS[1]).files["labels"])).height
    ]


@pytest.mark.parametrize("started_by", ["a refresh", "dagster"])
def test_a_pair_that_fails_stops_no_other(started_by, place, monkeypatch):
    session = open_session(load_workspace(place.config))
    forget(place, "logit_weights")
    weigh, broken = sae.features.logit_weights.logit_weights, place.ref("dictionary", PAIRS[0]).data_version

    def fails_for_one(directions, *others):
        if directions.dictionary_id == broken:
            raise AtlasError("no luck with this one")
        return weigh(directions, *others)

    monkeypatch.setattr(sae.features.logit_weights, "logit_weights", fails_for_one)

    if started_by == "dagster":
        result = native(session, "logit_weights")
        assert not result.success
        made = [event.partition for event in result.get_asset_materialization_events()]
        assert made == [PAIRS[1]]
    else:
        outcome = refresh(session, trigger="test", select=lambda cell: cell.asset == "logit_weights")
        assert outcome.failed == {Cell("logit_weights", PAIRS[0]): "no luck with this one"}
        assert outcome.made == [Cell("logit_weights", PAIRS[1])]

    assert [record.partition_key for record in materialisations(session, "logit_weights")] == [PAIRS[1]]
    assert not place.store.exists(ref_path(Cell("logit_weights", PAIRS[0])))
