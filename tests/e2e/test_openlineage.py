"""A refresh with lineage events on: each cell that was made has a start and an end, with what it read and made."""

import json

import dagster as dg
from tiny_pipeline import SITE, instance, made_since, run, write_config

from sae.config import load_workspace


def test_every_cell_that_is_made_is_told_of_and_every_one_that_fails(place):
    def edit(config):
        config["labeler"] = {"seed": 1}
        config["steering"]["features"] = ["no such concept"]
        config["openlineage"] = {"file": "events.jsonl", "namespace": "tiny"}

    write_config(place.folder, edit)
    _, cursor = made_since(place.config, 0)

    outcome = run(place.config)

    lines = [json.loads(line) for line in (place.folder / "events.jsonl").read_text().splitlines()]
    by_type = {kind: [line for line in lines if line["eventType"] == kind] for kind in ("START", "COMPLETE", "FAIL")}
    ended = {line["outputs"][0]["name"]: line for line in by_type["COMPLETE"]}
    failed = {line["outputs"][0]["name"]: line for line in by_type["FAIL"]}
    assert sorted(ended) == made_since(place.config, cursor)[0]
    assert (
        set(failed) == {str(cell) for cell in outcome.failed} == {f"steering[{SITE}.{r}]" for r in ("large", "small")}
    )
    started = {line["run"]["runId"] for line in by_type["START"]}
    assert {line["run"]["runId"] for line in lines} == started
    labels = ended[f"labels[{SITE}.large]"]
    assert f"examples[{SITE}.large]" in {one["name"] for one in labels["inputs"]}
    fields = {field["name"] for field in labels["outputs"][0]["facets"]["schema"]["fields"]}
    assert {"label_id", "label", "prompt_sha256"} <= fields
    assert (
        labels["outputs"][0]["facets"]["version"]["datasetVersion"] == place.ref("labels", f"{SITE}.large").data_version
    )
    assert next(iter(outcome.failed.values())) in {
        line["run"]["facets"]["errorMessage"]["message"] for line in failed.values()
    }


def test_dagster_shows_columns_their_lineage_and_the_code(first_run):
    with instance(load_workspace(first_run.config)) as dagster:
        event = dagster.get_latest_materialization_event(dg.AssetKey("labels"))
    assert event is not None
    assert event.asset_materialization is not None
    metadata = event.asset_materialization.metadata

    schema, lineage = (metadata[f"dagster/column_{kind}"].value for kind in ("schema", "lineage"))
    assert isinstance(schema, dg.TableSchema)
    assert isinstance(lineage, dg.TableColumnLineage)
    assert {"label", "feature_id"} <= {column.name for column in schema.columns}
    deps = lineage.deps_by_column["label"]
    assert ("examples", "tokens") in {(dep.asset_key.to_user_string(), dep.column_name) for dep in deps}
    rows = metadata["dagster/partition_row_count"].value
    assert isinstance(rows, int)
    assert rows > 0


def test_dagster_links_assets_to_their_code(first_run, monkeypatch):
    monkeypatch.setenv("ATLAS_CONFIG", str(first_run.config))
    from orchestration.definitions import defs

    graph = defs().resolve_asset_graph()

    references = graph.get(dg.AssetKey("labels")).metadata["dagster/code_references"]
    assert references.code_references[0].file_path.endswith("assets/labels.py")
