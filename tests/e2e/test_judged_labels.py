"""Scorers that ask a model, in the pipeline: scores published, weak labels marked, the budget kept, the audit whole."""

import json
import re

import pytest
from fault_server import GOOD, FaultServer
from tiny_pipeline import SITE, run, write_config

from sae.catalog import open_catalog


def answers(body) -> str:
    """A label, or yes to every example."""
    examples = len(re.findall("<example ", body["messages"][1]["content"]))
    return json.dumps({"answers": [1] * examples} if '"answers"' in body["messages"][0]["content"] else GOOD)


@pytest.fixture
def judged(place):
    """Runs the tiny pipeline with a model as labeler of the small dictionary and as scorer, at some budget."""

    def work(budget_usd):
        with FaultServer(answer=answers) as server:
            labeler = {
                "provider": "openai",
                "model": "m",
                "base_url": server.base_url,
                "budget_usd": budget_usd,
                "price": {"input": 0.1, "output": 0.4},
                "max_output_tokens": 50,
            }

            def edit(config):
                config.update(labeler=labeler, scorers=["rule", "detection", "fuzzing"])
                del config["dictionaries"]["large"]

            write_config(place.folder, edit)
            return run(place.config), server

    return work


def test_scores_by_a_model_are_published_and_mark_the_labels_that_do_not_hold(judged, place, command):
    outcome, server = judged(5.0)

    assert outcome.failed == {}
    with open_catalog(place.store) as catalog:
        scored = catalog.sql(
            "select scorer, count(*) n, min(score) low, max(score) high from label_scores s "
            "join current_labels using (label_id) where s.model = 'm' group by scorer order by scorer"
        ).rows()
        listed = catalog.sql("select distinct scorer, threshold from labels_to_review order by scorer").rows()
        labelled = catalog.sql("select label_id from current_labels where labeler = 'openai' limit 1").item()
    # Yes to everything finds all and refuses nothing: one half, whatever the feature.
    assert [(name, low, high) for name, _, low, high in scored] == [("detection", 0.5, 0.5), ("fuzzing", 0.5, 0.5)]
    assert [name for name, _ in listed] == ["detection", "fuzzing"]
    assert {threshold for _, threshold in listed} == {0.6}

    asked = len(server.bodies)
    assert run(place.config).made == []
    assert len(server.bodies) == asked

    audited = command("audit", labelled)
    chain = json.loads(command("audit", labelled, "--json").out)
    assert audited.code == 0, audited.out
    reply = next(link for link in chain if link["what"] == "reply")
    assert reply["outcome"] == "verified"
    assert {check["what"] for check in reply["checks"]} >= {"hash of the request", "cost, over all sends"}


def test_what_the_budget_does_not_reach_is_published_without_scores(judged, place):
    outcome, server = judged(0.002)

    assert outcome.failed == {}
    spent = sum(sent * 0.1 + received * 0.4 for sent, received in server.billed) / 1e6
    assert 0 < spent <= 0.002
    checks = {check["name"]: check for check in place.ref("label_scores", f"{SITE}.small").facts["checks"]}
    assert not checks["judges_reach_all"]["passed"]
