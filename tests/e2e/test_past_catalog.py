"""A past version of the catalog, read by every command that reads one."""

import json

import pytest
from tiny_pipeline import QUESTION, SITE, run, write_config

pytestmark = pytest.mark.slow


@pytest.fixture
def two_versions(place, command):
    """A place with two catalogs: labels of seed 0 in the first, of seed 1 too in the second."""
    write_config(place.folder, lambda config: config.update(labeler={"seed": 1}))
    assert run(place.config).failed == {}
    return place


def test_a_query_a_search_a_feature_and_an_audit_read_the_past(two_versions, command):
    query = "select max(seed) as seed, any_value(feature_id) as feature from current_labels"

    now, then = (json.loads(command("sql", query, "--json", *more).out)[0] for more in ((), ("--catalog", "1")))
    feature = command("feature", then["feature"], "--catalog", "1", "--json")
    audited = command("audit", then["feature"], "--catalog", "1", "--json")
    found = command("search", "the", "--catalog", "000001", "--json")

    assert (now["seed"], then["seed"]) == (1, 0)
    assert json.loads(feature.out)["label"]["seed"] == 0
    assert audited.code == 0
    assert json.loads(audited.out)[0]["facts"]["seed"] == 0
    assert found.code == 0


def test_what_runs_the_model_takes_its_labels_from_the_past(two_versions, command):
    active = command("activate", QUESTION, "--dictionary", f"{SITE}.large", "--catalog", "1", "--json")

    assert active.code == 0
    assert any(row["label"] for row in json.loads(active.out))


def test_the_past_is_exported(two_versions, command, tmp_path):
    wrote = command("export", "duckdb", str(tmp_path / "past.duckdb"), "--catalog", "1")

    assert wrote.code == 0
    assert (tmp_path / "past.duckdb").exists()


@pytest.mark.parametrize(
    "asked", [["sql", "select 1"], ["search", "x"], ["feature", "a:1"], ["audit", "abcd"], ["export", "duckdb", "x"]]
)
def test_a_version_that_there_is_not_is_named_with_those_there_are(asked, reading, command):
    refused = command(*asked, "--catalog", "7")

    assert refused.code == 1
    assert refused.err.startswith("error: There is no catalog '7'")
    assert "There are: 000001-" in refused.err
