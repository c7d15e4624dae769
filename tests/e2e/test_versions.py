"""A dictionary is replaced: what the platform says of old and new, and what came from what."""

import json
import shutil

import pytest
from tiny_pipeline import SITE, run, write_config

from sae.catalog import open_catalog

pytestmark = pytest.mark.slow

PAIR = f"{SITE}.small"


@pytest.fixture(scope="module")
def replaced_twice(first_run, tmp_path_factory):
    """The folder of a first run whose small dictionary was replaced twice: (folder, the three ids, oldest first)."""
    folder = tmp_path_factory.mktemp("versions") / "place"
    shutil.copytree(first_run.folder, folder)
    here = type(first_run)(folder, "", "")
    ids = [here.ref("dictionary", PAIR).data_version]
    for tokens in (21_000, 22_000):
        path = write_config(folder, lambda config, n=tokens: config["dictionaries"]["small"].update(tokens=n))
        assert run(path).failed == {}
        ids.append(here.ref("dictionary", PAIR).data_version)
    return here, ids


@pytest.fixture
def here(replaced_twice, monkeypatch):
    monkeypatch.setenv("ATLAS_CONFIG", str(replaced_twice[0].config))
    monkeypatch.delenv("ATLAS_STORE", raising=False)
    return replaced_twice


def test_features_are_matched_to_every_version_before_and_the_error_is_measured(here):
    place, (first, second, third) = here

    with open_catalog(place.store) as catalog:
        matched = catalog.sql("select distinct dictionary_id, previous_dictionary_id from feature_matches order by all")
        measured = dict(
            catalog.sql(
                "select metric, n from evaluation where metric like 'match%' and dictionary_id = ?", [third]
            ).iter_rows()
        )
        rows = catalog.sql(
            "select dictionary_id, is_current, replaced_by from dictionaries where recipe = 'small'"
        ).to_dicts()

    assert set(matched.rows()) == {(third, second), (third, first)}
    assert set(measured) == {
        "match_error_rate", "match_error_rate_split", "match_error_rate_merged", "match_missed_rate",
    }  # fmt: skip
    assert {row["dictionary_id"]: (row["is_current"], row["replaced_by"]) for row in rows} == {
        third: (True, None),
        second: (False, third),
        first: (False, second),
    }


def test_two_versions_beside_each_other(here, command):
    _, (first, second, third) = here

    said = command("diff", "small@1", "small")
    found = json.loads(command("diff", "small@1", "small", "--json").out)
    by_id = json.loads(command("diff", second[:8], third, "--json").out)

    assert said.code == 0, said.err
    assert (found["old"]["dictionary_id"], found["new"]["dictionary_id"]) == (second, third)
    assert by_id == found
    assert {row["what"]: (row["old"], row["new"]) for row in found["differs"]} == {
        "recipe.tokens": (21_000, 22_000),
        "tokens_trained": (found["differs"][0]["old"], found["differs"][0]["new"]),
    }
    metrics = {row["metric"]: row for row in found["metrics"]}
    assert metrics["fvu"]["old"] != metrics["fvu"]["new"]
    assert metrics["state_f1"]["old"] is not None
    assert sum(found["statuses"].values()) >= 20
    assert found["labels"]["in force in the new one"] > 0
    assert json.loads(command("diff", "small@2", "small", "--json").out)["old"]["dictionary_id"] == first


@pytest.mark.parametrize(
    ("name", "said"),
    [("small@9", "2 before it"), ("nothing", "names no dictionary"), ("small", "The one before it is called small@1")],
)
def test_a_version_that_is_not_there_is_refused_in_words(name, said, here, command):
    answer = command("diff", name, "small")

    assert answer.code == 2
    assert said in answer.err


def test_an_old_id_leads_to_its_successor(here, command):
    place, (first, _, _) = here
    with open_catalog(place.store) as catalog:
        statuses = dict(
            catalog.sql("select status, feature_id from successors where dictionary_id = ?", [first]).iter_rows()
        )

    for feature in statuses.values():
        answer = command("feature", feature)
        assert answer.code == 0
        assert answer.out.startswith(f"{feature} belongs to a dictionary that")


def test_what_came_from_a_document_a_shard_a_model_and_a_run(here, command):
    place, (_, second, third) = here
    with open_catalog(place.store) as catalog:
        document, shard, label = catalog.sql(
            "select document_id, shard, label_id from label_examples join examples using (example_id) "
            "join documents using (document_id) where use = 'shown' order by all limit 1"
        ).row(0)
        run_id = catalog.sql("select run_id from labels where label_id = ?", [label]).item()

    def came(*arguments: str) -> dict:
        answer = command("audit", *arguments, "--json")
        assert answer.code == 0, answer.err
        return json.loads(answer.out)["came"]

    of_document = came("--document", document)
    assert came(document) == of_document
    assert label in {row["label_id"] for row in of_document["labels were written from it"]}
    again = of_document["assets would be made again if the document were removed"]
    assert {"asset": "corpus", "partition": shard} in again
    assert {"asset": "labels", "partition": PAIR} in again
    assert {"asset": "catalog", "partition": None} in again
    assert not [row for row in again if row["asset"] in ("subject_model", "hookpoints")]
    assert third in {row["dictionary_id"] for row in came("--shard", shard)["dictionaries read its shard"]}
    assert label in {row["label_id"] for row in came("--run", run_id)["labels were written in it"]}
    models = came("--model", "world-lm")["dictionaries read it"]
    assert {second, third} <= {row["dictionary_id"] for row in models}
    labelers = came("--model", "log-odds")["labels were written by it"]
    assert label in {row["label_id"] for row in labelers}
    assert "features are its" in came("--dictionary", third)


@pytest.mark.parametrize("arguments", [(), ("--document", "nothing"), ("--run", "x", "--model", "y")])
def test_a_question_that_cannot_be_answered_is_refused(arguments, here, command):
    assert command("audit", *arguments).code in (1, 2)
