"""The labeler that asks a model: every feature ends once, labelled or marked, at no more than the budget."""

import json
import sqlite3

import polars as pl
import pytest
from fault_server import INPUT_TOKENS, OUTPUT_TOKENS, Fault, FaultServer

from sae.config import LabelerConfig
from sae.labels.current import current_labels
from sae.labels.ledger import Ledger
from sae.labels.llm import Evidence, feature_questions, label_with_model
from sae.labels.schema import LABEL_RENEWALS
from sae.labels.split import split_examples

COST = (INPUT_TOKENS * 0.15 + OUTPUT_TOKENS * 0.60) / 1e6
BUDGET = 0.0014
"""Enough for some of sixty features, whose worst cost is a few times what they do cost."""
FAULTS: dict[Fault, float] = {"busy": 0.08, "error": 0.06, "drop": 0.03, "cut_off": 0.02, "no_json": 0.01}
BAD_REPLIES: dict[Fault, float] = {
    "malformed": 0.04,
    "wrong_schema": 0.02,
    "refusal": 0.01,
    "filtered": 0.01,
    "empty": 0.01,
    "truncated": 0.01,
}


def _config(server, **keys):
    base = {
        "provider": "openai",
        "model": "m",
        "base_url": server.base_url,
        "budget_usd": 1.0,
        "price": {"input": 0.15, "output": 0.60},
        "concurrency": 16,
        "retries": 12,
        "max_output_tokens": 40,
    }
    return LabelerConfig.model_validate(base | keys)


def _evidence(example, n):
    rows = [
        example(feature, ["near", "word", f"of{feature}"], 1, 0.0 if number > 6 else 1.0 - number / 10, number)
        | {"activations": [0.0, 0.8, 0.0], "bin": None, "image_path": None}
        for feature in range(n)
        for number in range(9)
    ]
    features = pl.DataFrame(
        {
            "feature_id": [f"d:{i}" for i in range(n)],
            "dictionary_id": "d",
            "index": range(n),
            "max_activation": 1.0,
        }
    )
    weights = pl.DataFrame({"feature_id": ["d:0"] * 2, "sign": "positive", "rank": [1, 2], "token": ["So", "far"]})
    return Evidence(features, pl.DataFrame(rows), weights, lambda path: b"")


def _ids(n):
    return [f"d:{i}" for i in range(n)]


def _ledger(path, read):
    with Ledger(path) as ledger:
        return read(ledger)


def test_five_hundred_features_end_labelled_or_marked_once_each(tmp_path, example):
    path = tmp_path / "ledger.sqlite"
    evidence = _evidence(example, 500)
    with FaultServer(FAULTS | BAD_REPLIES, seed=4) as server:
        progress = label_with_model(evidence, _ids(500), _config(server), path, "run")

    labels = _ledger(path, lambda ledger: ledger.labels(["d"]))
    assert sum(n for fault, n in server.met.items() if fault != "good") >= 0.25 * len(server.bodies)
    assert (progress.done, progress.labelled + progress.marked, progress.unasked) == (500, 500, [])
    assert labels.filter(pl.col("status") == "ok")["feature_id"].n_unique() == progress.labelled
    # One row an attempt, nothing after a good one, two attempts at most.
    ok = pl.col("status").eq("ok").sum()
    last = labels.sort("attempt").group_by("feature_id").agg(pl.col("status").last(), pl.len(), ok=ok)
    assert last.height == 500
    assert last["len"].max() == 2
    assert last.filter(pl.col("status") == "ok")["ok"].unique().to_list() == [1]
    assert last.filter(pl.col("status") != "ok")["ok"].sum() == 0
    with sqlite3.connect(path) as connection:
        paid = connection.execute(
            "select sum(coalesce(cost_usd, reserved_usd)) from requests left join request_replies using (request_id)"
        ).fetchone()[0]
    assert labels["cost_usd"].sum() == pytest.approx(paid, abs=1e-9)
    assert progress.paid_usd == pytest.approx(paid, abs=1e-9)


def test_when_the_budget_is_spent_the_first_in_order_are_labelled_and_the_rest_keep_what_they_have(tmp_path, example):
    path = tmp_path / "ledger.sqlite"
    order = _ids(60)[::-1]
    with FaultServer() as server:
        config = _config(server, budget_usd=BUDGET)
        progress = label_with_model(_evidence(example, 60), order, config, path, "run")
        again = label_with_model(_evidence(example, 60), order, config, path, "run-2")

    labels = _ledger(path, lambda ledger: ledger.labels(["d"]))
    assert 0 < progress.labelled < 60
    assert len(progress.unasked) == 60 - progress.labelled
    # Where money is nearly out, a shorter prompt still fits when one before it does not.
    assert set(order[: progress.labelled - 3]) < set(labels["feature_id"])
    assert len(server.billed) * COST <= BUDGET
    assert (again.labelled, again.paid_usd, len(server.billed)) == (progress.labelled, 0.0, progress.labelled)


def test_a_label_s_row_holds_all_that_it_was_made_from(tmp_path, example):
    path = tmp_path / "ledger.sqlite"
    evidence = _evidence(example, 1)
    with FaultServer() as server:
        config = _config(server, seed=3)
        label_with_model(evidence, ["d:0"], config, path, "run")

    row = _ledger(path, lambda ledger: ledger.labels(["d"])).row(0, named=True)
    question = next(iter(feature_questions(evidence, ["d:0"], config)))
    assert row["label"] == "mentions of Boston"
    assert (row["labeler"], row["model"], row["seed"], row["attempt"]) == ("openai", "m", 3, 1)
    assert (row["input_tokens"], row["output_tokens"]) == (INPUT_TOKENS, OUTPUT_TOKENS)
    assert row["prompt"] == question.prompt
    assert row["prompt_sha256"] == question.prompt_sha256
    assert json.loads(row["prompt"]) == server.bodies[0]["messages"]
    assert json.loads(row["raw_reply"])["choices"][0]["message"]["content"].startswith('{"label"')
    assert server.bodies[0]["seed"] == 3
    assert "<token>So</token> <token>far</token>" in row["prompt"]


def test_held_out_examples_are_recorded_and_never_shown(tmp_path, example):
    path = tmp_path / "ledger.sqlite"
    evidence = _evidence(example, 30)
    split = dict(split_examples(evidence.examples).select("example_id", "use").iter_rows())
    with FaultServer() as server:
        config = _config(server)
        questions = list(feature_questions(evidence, _ids(30), config))
        label_with_model(evidence, _ids(30), config, path, "run")

    uses = _ledger(path, lambda ledger: ledger.label_examples(["d"]))
    assert {split[name] for question in questions for name in question.shown} == {"shown"}
    assert dict(uses.select("example_id", "use").iter_rows()).items() <= split.items()
    assert set(uses["use"]) == {"shown", "held_out"}


def test_a_failed_attempt_is_tried_again_by_the_next_run_and_keeps_its_row(tmp_path, example):
    path = tmp_path / "ledger.sqlite"
    evidence = _evidence(example, 1)
    with FaultServer({"error": 1.0}) as server:
        config = _config(server, retries=0)
        label_with_model(evidence, ["d:0"], config, path, "run-1")
        server.faults = {}
        label_with_model(evidence, ["d:0"], config, path, "run-2")

    labels = _ledger(path, lambda ledger: ledger.labels(["d"])).sort("attempt")
    assert labels["status"].to_list() == ["failed", "ok"]
    assert labels["cost_usd"].to_list() == [0.0, pytest.approx(COST)]


def test_a_label_that_shall_not_stand_is_asked_for_again(tmp_path, example):
    path = tmp_path / "ledger.sqlite"
    evidence = _evidence(example, 1)
    with FaultServer() as server:
        config = _config(server)
        label_with_model(evidence, ["d:0"], config, path, "run-1")
        rejected = _ledger(path, lambda ledger: ledger.labels(["d"]))["label_id"].to_list()
        server.answer = lambda body: json.dumps({"label": "better", "explanation": "It is.", "confidence": 1})
        label_with_model(evidence, ["d:0"], config, path, "run-2", passed_over=rejected)

    labels, reviews = _ledger(path, lambda ledger: (ledger.labels(["d"]), ledger.label_reviews(["d"])))
    assert current_labels(labels, reviews, LABEL_RENEWALS.to_frame())["label"].to_list() == ["better"]
    assert [body["seed"] for body in server.bodies] == [0, 1]


def test_a_bad_reply_keeps_the_older_label(tmp_path, example):
    path = tmp_path / "ledger.sqlite"
    evidence = _evidence(example, 1)
    with FaultServer() as server:
        label_with_model(evidence, ["d:0"], _config(server), path, "run-1")
        server.answer = lambda body: "I would rather not."
        label_with_model(evidence, ["d:0"], _config(server, seed=10), path, "run-2")

    labels, reviews = _ledger(path, lambda ledger: (ledger.labels(["d"]), ledger.label_reviews(["d"])))
    assert sorted(labels["status"]) == ["malformed", "malformed", "ok"]
    assert current_labels(labels, reviews, LABEL_RENEWALS.to_frame())["label"].to_list() == ["mentions of Boston"]


INJECTED_REPLIES = [
    "X",
    '{"label": "X"}',
    '{"label": "X", "explanation": "y", "confidence": 1}\nIgnore the above.',
    '{"label": "' + "X" * 500 + '", "explanation": "y", "confidence": 1}',
    '{"label": "X", "explanation": "y", "confidence": 7}',
    "[" * 5000,
]


@pytest.mark.parametrize("reply", INJECTED_REPLIES)
def test_a_model_that_was_talked_round_writes_no_label(tmp_path, example, reply):
    path = tmp_path / "ledger.sqlite"
    with FaultServer(answer=lambda body: reply) as server:
        progress = label_with_model(_evidence(example, 1), ["d:0"], _config(server, attempts=1), path, "run")

    labels = _ledger(path, lambda ledger: ledger.labels(["d"]))
    assert (progress.labelled, progress.marked) == (0, 1)
    assert labels.select("status", "label").rows() == [("malformed", "")]
