"""What `atlas gc` removes, and that nothing in force goes with it."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from freshness_cases import TEXTS, add_files
from tiny_pipeline import SITE, instance, run, write_config

from sae.catalog import open_catalog
from sae.catalog.versions import list_versions
from sae.config import load_workspace

pytestmark = pytest.mark.slow

NOTHING_KEPT = {"catalogs": 1, "dictionaries": 0, "retired_days": 0, "checkpoint_days": 0, "run_days": 0}


def configure(config, **retention):
    add_files(config)
    config["dictionaries"]["small"].update(k=3)
    config["retention"] = NOTHING_KEPT | retention


@pytest.fixture(scope="module")
def used(first_run, tmp_path_factory):
    """A place whose dictionaries were trained three times, that lost a file, with what killed runs leave. Copy it."""
    folder = tmp_path_factory.mktemp("used") / "place"
    shutil.copytree(first_run.folder, folder)
    for name, text in TEXTS.items():
        (folder / name).write_text(text)
    write_config(folder, add_files)
    assert run(folder / "atlas.yaml").failed == {}
    (folder / "b.txt").unlink()
    write_config(folder, lambda config: configure(config, catalogs=3))
    assert run(folder / "atlas.yaml").failed == {}
    place = replace(first_run, folder=folder)
    dictionary = place.ref("dictionary", f"{SITE}.small").data_version
    shutil.copytree(folder / "store/dictionaries" / dictionary, folder / "store/dictionaries/0123456789abcdef")
    place.store.write_bytes("checkpoints/0123456789abcdef/0000000010.json", b"{}")
    place.store.write_bytes("checkpoints/0123456789abcdef/0000000010.safetensors", b"state")
    place.store.write_bytes(
        f"checkpoints/{place.ref('dictionary_candidate', f'{SITE}.large').build_key}/0000000010.json", b"{}"
    )
    place.store.write_bytes("tables/features/x.parquet.damaged", b"damaged")
    (folder / "store/tables/features/.writing-1-x.parquet").write_bytes(b"half")
    place.store.write_bytes("notes/mine.txt", b"what this program did not write")
    for path in (folder / "store/checkpoints").rglob("*.json"):
        os.utime(path, (0, 0))
    return place


@pytest.fixture
def cluttered(used, tmp_path, monkeypatch):
    folder = tmp_path / "place"
    shutil.copytree(used.folder, folder)
    monkeypatch.setenv("ATLAS_CONFIG", str(folder / "atlas.yaml"))
    monkeypatch.delenv("ATLAS_STORE", raising=False)
    write_config(folder, configure)
    return replace(used, folder=folder)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in (folder / "store").rglob("*") if path.is_file()}


def test_a_dry_run_names_everything_with_its_reason_and_removes_nothing(cluttered, command):
    before = files(cluttered.folder)

    listed = command("gc")
    garbage = json.loads(command("gc", "--json").out)["garbage"]

    assert listed.code == 0
    assert files(cluttered.folder) == before
    why = {one["name"]: one["why"] for one in garbage}
    assert why["checkpoints/0123456789abcdef/0000000010.json"] == "nobody went on with its training for 0 days"
    assert "its training is finished" in why.values()
    assert why["dictionaries/0123456789abcdef/cfg.json"].startswith("superseded or never accepted")
    assert why["tables/features/x.parquet.damaged"].startswith("damaged")
    assert why["tables/features/.writing-1-x.parquet"] == "a run that was killed left it half written"
    kinds = {one["kind"] for one in garbage}
    assert kinds == {"activations", "catalog", "checkpoints", "corpora", "dictionaries", "event log", "refs", "tables"}
    assert "notes/mine.txt" not in why
    assert all(kind in listed.out for kind in kinds)
    assert "`atlas gc --yes` removes them" in listed.out


def test_what_is_removed_is_what_was_listed_and_everything_in_force_is_verified(cluttered, command):
    before = files(cluttered.folder)
    listed = json.loads(command("gc", "--json").out)
    in_store = {f"store/{one['name']}" for one in listed["garbage"] if one["kind"] != "event log"}

    removed = json.loads(command("gc", "--yes", "--json").out)

    assert removed["garbage"] == listed["garbage"]
    assert files(cluttered.folder) == before - in_store
    ran = command("run")
    assert (ran.code, ran.err) == (0, "nothing is stale\n")
    again = command("gc")
    assert "Nothing to remove" in again.out
    with open_catalog(cluttered.store) as catalog:
        asked = catalog.sql("select min(feature_id) f from current_labels group by dictionary_id")["f"].to_list()
    for feature in asked:
        audited = command("audit", feature)
        assert audited.code == 0, audited.out
        assert "0 MISMATCH" in audited.out
    assert len(list_versions(cluttered.store)) == 1


def test_the_runs_that_made_what_is_in_force_keep_their_logs(cluttered, command):
    command("gc", "--yes")

    with instance(load_workspace(cluttered.config)) as dagster:
        left = {record.dagster_run.run_id for record in dagster.get_run_records()}
    with open_catalog(cluttered.store) as catalog:
        named = set(catalog.sql("select run_id from runs")["run_id"])
    assert named <= left


def test_what_is_not_old_enough_stays(cluttered, command):
    write_config(
        cluttered.folder,
        lambda config: configure(config, catalogs=3, dictionaries=2, retired_days=1, checkpoint_days=1e6, run_days=1),
    )

    garbage = json.loads(command("gc", "--json").out)["garbage"]

    kinds = {one["kind"] for one in garbage}
    assert kinds <= {"checkpoints", "tables"}
    assert {one["why"] for one in garbage if one["kind"] == "checkpoints"} == {"its training is finished"}


def test_a_kept_past_catalog_can_still_be_opened_and_audited(cluttered, command):
    write_config(cluttered.folder, lambda config: configure(config, catalogs=2))
    past, current = list_versions(cluttered.store)[-2:]
    command("gc", "--yes")

    assert list_versions(cluttered.store) == [past, current]
    feature = json.loads(command("sql", "select min(feature_id) f from features", "--catalog", past, "--json").out)
    audited = command("audit", feature[0]["f"], "--catalog", past)
    assert audited.code == 0, audited.out


def test_nothing_is_removed_where_what_is_in_force_cannot_be_told(cluttered, command):
    current = cluttered.store.read_bytes("catalog/CURRENT").decode().strip()
    (cluttered.folder / f"store/catalog/catalog-{current}.duckdb").write_bytes(b"no database")
    before = files(cluttered.folder)

    refused = command("gc", "--yes")

    assert refused.code == 1
    assert "cannot be read" in refused.err
    assert files(cluttered.folder) == before
