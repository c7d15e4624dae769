"""The gate: a dictionary that misses a threshold is kept, but no reader gets it, and nothing follows it."""

import json
import shutil

import pytest
from tiny_pipeline import SITE, made_since, write_config

from orchestration.partitions import Cell
from orchestration.runner import Outcome, open_session, refresh
from sae.catalog import open_catalog
from sae.config import load_workspace

STRICT = {"fvu": 1e-6, "dead": 1.0, "loss_recovered": -100}


def test_a_candidate_that_misses_a_threshold_leaves_the_older_one_current(place, command):
    older = place.ref("dictionary", f"{SITE}.small").data_version
    _, cursor = made_since(place.config, 0)

    def worse(config):
        config["dictionaries"]["small"].update(k=3)
        config["checks"] = STRICT

    write_config(place.folder, worse)

    ran = command("run")

    candidate = place.ref("dictionary_candidate", f"{SITE}.small")
    assert ran.code == 0
    assert f"Not current: {SITE}.small ({candidate.data_version}) misses fvu_below" in ran.out
    assert candidate.data_version != older
    assert all(place.store.verify(file) for file in candidate.files.values())
    assert place.ref("dictionary", f"{SITE}.small").data_version == older
    with open_catalog(place.store) as catalog:
        rows = catalog.sql(
            "select dictionary_id, is_current, rejected_because from dictionaries where recipe = 'small'"
        )
        current = set(catalog.sql("select distinct dictionary_id from features")["dictionary_id"])
    rejected = {row["dictionary_id"]: row["rejected_because"] for row in rows.to_dicts() if not row["is_current"]}
    assert rows.filter(rows["is_current"])["dictionary_id"].to_list() == [older]
    assert list(rejected) == [candidate.data_version]
    assert rejected[candidate.data_version].startswith("fvu_below: ")
    assert older in current
    assert candidate.data_version not in current
    made, _ = made_since(place.config, cursor)
    assert made == [
        "catalog",
        "catalog_candidate",
        f"dictionary[{SITE}.large]",
        f"dictionary[{SITE}.small]",
        f"dictionary_candidate[{SITE}.small]",
    ]

    looser = write_config(place.folder, lambda config: config["dictionaries"]["small"].update(k=3))
    session = open_session(load_workspace(looser))
    outcome = refresh(session, trigger="test", select=lambda cell: cell.asset in ("dictionary_candidate", "dictionary"))

    assert {cell.asset for cell in outcome.made} == {"dictionary"}, "it is judged anew and not trained again"
    assert place.ref("dictionary", f"{SITE}.small").data_version == candidate.data_version


def test_a_dictionary_that_is_trained_again_to_the_same_weights_can_still_be_opened(place):
    session, before = open_session(load_workspace(place.config)), place.ref("dictionary", f"{SITE}.small")

    def force(asset: str) -> Outcome:
        only = Cell(asset, f"{SITE}.small")
        return refresh(session, trigger="test", select=lambda cell: cell == only, force=True)

    trained, read = force("dictionary_candidate"), force("logit_weights")

    after = place.ref("dictionary", f"{SITE}.small")
    assert after.data_version == before.data_version == place.ref("dictionary_candidate", f"{SITE}.small").data_version
    assert after.files != before.files, "its folder tells of another training"
    assert all(place.store.verify(file) for file in after.files.values())
    assert [len(trained.made), len(read.made)] == [1, 1]
    assert read.failed == {}
    assert {standing.state for standing in session.plan().standings} == {"fresh"}


def test_a_forced_run_keeps_what_the_gate_remembers(place):
    older = place.ref("dictionary", f"{SITE}.small").data_version

    def worse(config):
        config["dictionaries"]["small"].update(k=3)
        config["checks"] = STRICT

    session = open_session(load_workspace(write_config(place.folder, worse)))
    gate = ("dictionary_candidate", "dictionary")
    outcome = refresh(session, trigger="test", select=lambda cell: cell.asset in gate, force=True)

    assert Cell("dictionary_candidate", f"{SITE}.large") in outcome.made, "nothing of it had changed"
    assert place.ref("dictionary_candidate", f"{SITE}.small").data_version != older
    assert place.ref("dictionary", f"{SITE}.small").data_version == older


def test_a_pair_without_an_accepted_dictionary_stops_and_the_others_go_on(place, command):
    def one_more(config):
        config["dictionaries"]["tiny"] = {"architecture": "topk", "latents": 4, "k": 1, "tokens": 2_000}
        config["checks"] = STRICT
        config["openlineage"] = {"file": "events.jsonl"}

    write_config(place.folder, one_more)
    gate = [f"dictionary[{SITE}.{recipe}]" for recipe in ("large", "small", "tiny")]
    assert command("run", "--select", "dictionary_candidate").code == 0

    ran = command("run")

    lines = [json.loads(line) for line in (place.folder / "events.jsonl").read_text().splitlines()]
    ends = {(line["outputs"][0]["name"], line["eventType"]) for line in lines if line["job"]["name"] == "dictionary"}
    assert ends - {(cell, "START") for cell in gate} == {
        (gate[0], "COMPLETE"), (gate[1], "COMPLETE"), (gate[2], "ABORT")
    }  # fmt: skip
    runs = {line["run"]["facets"]["parent"]["run"]["runId"] for line in lines if line["job"]["name"] == "dictionary"}
    assert len(runs) == 1, "one run judges the three of them"
    assert ran.code == 1
    assert f"failed: dictionary[{SITE}.tiny]: no dictionary is accepted: candidate" in ran.err
    assert "fvu_below" in ran.err
    assert "Traceback" not in ran.err
    assert not place.store.exists(f"refs/features/{SITE}.tiny.json")
    with open_catalog(place.store) as catalog:
        rows = catalog.sql("select recipe, is_current from dictionaries order by recipe")
    assert dict(rows.iter_rows()) == {"large": True, "small": True, "tiny": False}
    again = command("run")
    assert again.code == 1, "it is still missing"
    assert f"dictionary[{SITE}.tiny]" in again.err


@pytest.mark.parametrize("published", [True, False])
def test_with_no_dictionary_at_all_nothing_is_published(published, place, command):
    shutil.rmtree(place.folder / "store" / "refs" / "dictionary")
    if not published:
        shutil.rmtree(place.folder / "store" / "catalog")
    write_config(place.folder, lambda config: config.update(checks=STRICT))
    before = place.store.read_bytes("catalog/CURRENT") if published else None

    ran = command("run")

    assert ran.code == 1
    assert ran.err.count("failed: dictionary[") == 2
    assert "not made, since they need what failed: " in ran.err
    if published:
        assert place.store.read_bytes("catalog/CURRENT") == before, "readers keep the last good catalog"
    else:
        assert not place.store.exists("catalog/CURRENT")
        assert "No catalog is published yet." in ran.out
