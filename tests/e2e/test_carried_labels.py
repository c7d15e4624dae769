"""A dictionary is trained anew: people's labels live on where their features do, and are judged there."""

import json
from datetime import UTC, datetime

import pytest
from tiny_pipeline import SITE, run, write_config

from sae.catalog import open_catalog
from sae.labels.ledger import Ledger
from sae.labels.reviews import review_label

PAIR = f"{SITE}.small"


@pytest.fixture
def retrained(place):
    """Ada names every feature of a dictionary, which is then trained on a few tokens more: (place, the old id)."""
    old = place.ref("dictionary", PAIR).data_version
    with Ledger(place.folder / "state" / "ledger.sqlite") as ledger:
        for label in ledger.labels([old]).to_dicts():
            review_label(ledger, label["label_id"], "rewrite", "ada", datetime.now(UTC), proposed=label["label"][:100])
    write_config(place.folder, lambda config: config["dictionaries"]["small"].update(tokens=21_000))
    outcome = run(place.config)
    assert outcome.failed == {}
    return place, old


def test_labels_live_on_with_their_features_and_the_audit_follows_them(retrained, command):
    place, old = retrained
    new = place.ref("dictionary", PAIR).data_version
    with Ledger(place.folder / "state" / "ledger.sqlite") as ledger:
        before, labels = ledger.labels([old]), ledger.labels([new])
        reviews = {row["label_id"]: row for row in ledger.label_reviews([new]).to_dicts()}
        scores = {row["label_id"]: row for row in ledger.label_scores([new]).to_dicts() if row["scorer"] == "rule"}
    carried = [row for row in labels.to_dicts() if row["origin"] == "carried"]
    parents = {row["label_id"]: row for row in before.to_dicts()}

    with open_catalog(place.store) as catalog:
        matches = {
            row["feature_id"]: row
            for row in catalog.sql("select * from feature_matches where status = 'carried'").to_dicts()
            if row["feature_id"].startswith(new)
        }
        current = dict(catalog.sql("select feature_id, label_id from current_labels").iter_rows())

    assert new != old
    assert carried
    assert {row["feature_id"] for row in carried} == set(matches)
    for row in carried:
        parent, match = parents[row["parent_label_id"]], matches[row["feature_id"]]
        assert (parent["labeler"], parent["feature_id"]) == ("human", match["previous_feature_id"])
        assert (row["label"], row["labeler"]) == (parent["label"], "human")
        kept = json.loads(row["prompt"])["match"]
        assert kept["cosine"] == pytest.approx(match["cosine"])
        assert kept["status"] == "carried"
        if row["label_id"] in reviews:
            assert reviews[row["label_id"]]["reviewer"] == "carrying"
            assert scores[row["label_id"]]["score"] < 0.6
            assert current[row["feature_id"]] != row["label_id"]
        else:
            assert current[row["feature_id"]] == row["label_id"]

    audited = command("audit", carried[0]["label_id"])
    chain = json.loads(command("audit", carried[0]["label_id"], "--json").out)
    assert audited.code == 0, audited.out
    assert [link["what"] for link in chain][:4] == ["label", "prompt", "label", "review"]
    assert chain[2]["id"] == carried[0]["parent_label_id"]


def test_nothing_is_carried_twice(retrained):
    place, _ = retrained
    new = place.ref("dictionary", PAIR).data_version
    write_config(
        place.folder,
        lambda config: (config["dictionaries"]["small"].update(tokens=21_000), config.update(labeler={"seed": 1})),
    )
    with Ledger(place.folder / "state" / "ledger.sqlite") as ledger:
        before = ledger.labels([new]).filter(origin="carried"), ledger.review_ids()

    assert run(place.config).failed == {}

    with Ledger(place.folder / "state" / "ledger.sqlite") as ledger:
        after = ledger.labels([new]).filter(origin="carried"), ledger.review_ids()
    assert before[0].equals(after[0])
    assert before[1] == after[1]
