"""The Batch API: half the price, nothing lost when the process ends on the way, nothing paid for twice."""

import json
import sqlite3

import polars as pl
import pytest
from batch_server import BatchServer
from fault_server import GOOD, INPUT_TOKENS, OUTPUT_TOKENS

from sae.config import LabelerConfig
from sae.labels import batches
from sae.labels.batches import fetch_in_batches
from sae.labels.budget import Price
from sae.labels.ledger import Ledger
from sae.labels.llm import Evidence, feature_questions, label_with_model
from sae.labels.llm_batches import fetch_labels
from sae.labels.question import ModelSettings, Question, question_request
from sae.labels.request_ledger import RequestLedger
from sae.labels.requests import ask_all

PRICE = Price(0.15, 0.60)
HALF = PRICE.halved().cost(INPUT_TOKENS, OUTPUT_TOKENS)


def _read(text):
    return json.loads(text)["label"]


def _questions(n):
    return [
        Question([{"role": "user", "content": f"Feature {i}? \u2028"}], 0, "label", f"d:{i}", _read) for i in range(n)
    ]


def _settings(server):
    return ModelSettings("m", server.base_url, PRICE, max_output_tokens=40, retries=3)


def _fetch(server, path, n, budget=1.0):
    return fetch_in_batches(_questions(n), _settings(server), path, budget, "run", read=_read, poll_s=0.01)


def _spent(path):
    ledger = RequestLedger(path, 1.0)
    spent = ledger.spent()
    ledger.close()
    return spent


def test_replies_come_at_half_the_price_and_are_found_when_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(batches, "LARGEST_BATCH", 4)
    path = tmp_path / "ledger.sqlite"
    with BatchServer() as server:
        came = _fetch(server, path, 10)
        replies = ask_all(_settings(server), path, 0.0, "run", _questions(10))

    assert (came, len(server.batches), len(server.answered)) == (10, 3, 10)
    assert [reply.value for reply in replies if reply] == ["mentions of Boston"] * 10
    assert _spent(path) == pytest.approx(10 * HALF)
    assert sum(reply.cost_usd for reply in replies if reply) == pytest.approx(10 * HALF)


def test_a_batch_reserves_no_more_than_the_budget_holds(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with BatchServer() as server:
        worst = question_request(_settings(server), _questions(1)[0], PRICE.halved(), send=1).reserved_usd
        came = _fetch(server, path, 10, budget=3.5 * worst)

    assert (came, len(server.answered)) == (3, 3)


@pytest.mark.parametrize("moment", ["before the batch is made", "while it is waited for"])
def test_a_run_that_ended_on_the_way_goes_on_and_pays_nothing_twice(tmp_path, monkeypatch, moment):
    path = tmp_path / "ledger.sqlite"
    with BatchServer() as server:

        def stop(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            target = (batches._Server, "create") if moment == "before the batch is made" else (batches.time, "sleep")
            patch.setattr(*target, stop)
            with pytest.raises(KeyboardInterrupt):
                _fetch(server, path, 5)
        came = _fetch(server, path, 5)

    assert (came, len(server.answered)) == (5, 5)
    assert _spent(path) == pytest.approx(5 * HALF)


def test_a_batch_whose_making_was_not_confirmed_is_found_by_its_name(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with BatchServer(loses_answers=1, busy=2) as server:
        came = _fetch(server, path, 5)

    assert (came, len(server.batches), len(server.answered)) == (5, 1, 5)


def test_a_line_that_failed_costs_nothing_and_may_be_asked_again(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with BatchServer(fails=lambda number: number == 2) as server:
        first = _fetch(server, path, 5)
        second = _fetch(server, path, 5)

    assert (first, second, len(server.answered)) == (4, 1, 6)
    assert _spent(path) == pytest.approx(5 * HALF)


@pytest.mark.parametrize("end", ["failed", "expired", "cancelled"])
def test_a_batch_that_stopped_settles_its_requests_as_failed(tmp_path, end):
    path = tmp_path / "ledger.sqlite"
    with BatchServer(ends_as=end) as server:
        came = _fetch(server, path, 3)

    with sqlite3.connect(path) as connection:
        rows = connection.execute("select status, cost_usd, error from request_replies").fetchall()
    assert came == 0
    assert rows == [("failed", 0.0, f"its batch ended as {end} without it")] * 3


def test_bad_replies_keep_their_status(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with BatchServer(answer=lambda body: "no JSON") as server:
        _fetch(server, path, 2)
        replies = ask_all(_settings(server), path, 0.0, "run", _questions(2))

    assert [reply.status for reply in replies if reply] == ["malformed"] * 2


def test_labels_come_in_rounds_each_of_the_features_without_one(tmp_path, example):
    path = tmp_path / "ledger.sqlite"
    rows = [
        example(feature, ["near", f"of{feature}"], 1, 1.0 - number / 10, number)
        | {"activations": [0.0, 0.8], "bin": None, "image_path": None}
        for feature in range(4)
        for number in range(5)
    ]
    ids = [f"d:{i}" for i in range(4)]
    features = pl.DataFrame({"feature_id": ids, "dictionary_id": "d", "index": range(4), "max_activation": 1.0})
    weights = pl.DataFrame({"feature_id": ids[:1], "sign": "positive", "rank": [1], "token": ["So"]})
    evidence = Evidence(features, pl.DataFrame(rows), weights, lambda path: b"")

    def first_of_no_use_to_one(body):
        return "no" if body["seed"] == 0 and "of1" in body["messages"][1]["content"] else json.dumps(GOOD)

    with BatchServer(answer=first_of_no_use_to_one) as server:
        config = LabelerConfig.model_validate(
            {
                "provider": "openai",
                "model": "m",
                "base_url": server.base_url,
                "budget_usd": 1.0,
                "price": {"input": 0.15, "output": 0.60},
                "batch": True,
            }
        )
        fetch_labels(lambda: feature_questions(evidence, ids, config), config, path, "run", poll_s=0.01)
        nothing_more = config.model_copy(update={"budget_usd": 0.0})
        done = label_with_model(evidence, ids, nothing_more, path, "run")

    with Ledger(path) as ledger:
        labels = ledger.labels(["d"])
    assert (done.labelled, done.unasked, len(server.answered), len(server.batches)) == (4, [], 5, 2)
    assert sorted(labels["status"]) == ["malformed", "ok", "ok", "ok", "ok"]
    assert labels["cost_usd"].sum() == pytest.approx(5 * HALF)
