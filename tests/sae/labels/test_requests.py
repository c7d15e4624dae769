"""Asking a server that fails: nothing is asked without a reservation, paid for twice, or over the budget."""

import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fault_server import INPUT_TOKENS, OUTPUT_TOKENS, Fault, FaultServer

from sae.errors import AtlasError
from sae.labels.budget import Price
from sae.labels.chat import HopelessError
from sae.labels.question import ModelSettings, Question, question_request
from sae.labels.request_ledger import RequestLedger
from sae.labels.requests import ask_all

HERE = str(Path(__file__).parent)
PRICE = Price(0.15, 0.60)
COST = PRICE.cost(INPUT_TOKENS, OUTPUT_TOKENS)
MIX: dict[Fault, float] = {"busy": 0.08, "error": 0.06, "drop": 0.04, "cut_off": 0.03, "no_json": 0.02, "slow": 0.01}
BAD: dict[Fault, float] = {
    "malformed": 0.02,
    "wrong_schema": 0.01,
    "refusal": 0.01,
    "filtered": 0.01,
    "empty": 0.005,
    "truncated": 0.005,
}
SCHEMA = {"type": "object"}


_ASK_A_HUNDRED = """
import sys
from pathlib import Path
base_url, path, *sys.path = sys.argv[1:]
import test_requests as t
settings = t.ModelSettings("m", base_url, t.PRICE, concurrency=4, max_output_tokens=40)
t.ask_all(settings, Path(path), 1.0, "run-1", [t.question(i) for i in range(100)])
"""


def _read(text):
    reply = json.loads(text)
    if "label" not in reply:
        raise ValueError("no label")
    return reply["label"]


def question(number, seed=0, **keys):
    messages = [{"role": "user", "content": f"What is feature {number}?"}]
    return Question(messages, seed=seed, purpose="label", key=f"d:{number}", read=_read, **keys)


def _settings(server, **keys):
    keys = {"price": PRICE, "timeout_s": 5.0, "concurrency": 16, "retries": 12, "max_output_tokens": 40} | keys
    return ModelSettings(model="m", base_url=server.base_url, **keys)


def _rows(path, query):
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_every_question_ends_once_under_faults(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with FaultServer(MIX | BAD, seed=1) as server:
        replies = ask_all(_settings(server, timeout_s=1.0), path, 10.0, "run", [question(i) for i in range(200)])

    assert sum(server.met[fault] for fault in MIX | BAD) > 0.25 * len(server.bodies)
    assert server.most_at_once <= 16
    statuses = [reply.status for reply in replies if reply]
    assert len(statuses) == 200
    assert statuses.count("ok") > 160
    assert {"malformed", "refused"} <= set(statuses)
    answered = _rows(path, "select key, count(*) from requests join request_replies using (request_id) "
                           "where status <> 'failed' group by key")  # fmt: skip
    assert sorted(answered) == sorted((f"d:{i}", 1) for i in range(200))
    assert len(_rows(path, "select 1 from requests")) == len(server.bodies)


def test_the_account_agrees_with_the_rows_and_covers_the_bill(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with FaultServer(MIX | BAD, seed=2) as server:
        replies = ask_all(_settings(server, timeout_s=1.0), path, 10.0, "run", [question(i) for i in range(100)])

    ledger = RequestLedger(path, 10.0)
    spent = ledger.spent()
    ledger.close()
    known, possible = _rows(path, "select sum(cost_usd), sum(coalesce(cost_usd, reserved_usd)) from requests "
                                  "join request_replies using (request_id)")[0]  # fmt: skip
    bill = len(server.billed) * COST
    assert sum(reply.cost_usd for reply in replies if reply) == pytest.approx(spent, abs=1e-9)
    assert spent == pytest.approx(possible, abs=1e-9)
    # Only what the client saw whole is known; what was lost on the way counts with its whole reservation.
    assert known == pytest.approx(bill - (server.met["cut_off"] + server.met["slow"]) * COST, abs=1e-9)
    assert known < bill <= possible


@pytest.mark.parametrize("faults", [{}, MIX])
def test_the_budget_holds_under_sixteen_at_once(tmp_path, faults):
    path = tmp_path / "ledger.sqlite"
    budget = 0.002
    with FaultServer(faults, seed=3, latency_s=0.002) as server:
        settings = _settings(server, timeout_s=1.0)
        replies = ask_all(settings, path, budget, "run", [question(i) for i in range(200)])
    ledger = RequestLedger(path, budget)
    spent, worst = ledger.spent(), question_request(settings, question(0), PRICE, send=1).reserved_usd
    ledger.close()

    assert None in replies
    assert len(server.billed) * COST <= budget
    # It bought all that it could: no more than the worst cost of one request is left.
    assert budget - worst <= spent <= budget


def test_a_reply_is_not_paid_for_twice(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with FaultServer({"malformed": 0.5}, seed=1) as server:
        first = ask_all(_settings(server), path, 1.0, "run-1", [question(i) for i in range(20)])
        sent = len(server.bodies)
        second = ask_all(_settings(server), path, 0.0, "run-2", [question(i) for i in range(20)])
        other_seed = ask_all(_settings(server), path, 1.0, "run-3", [question(0, seed=7)])

    assert sent == 20
    assert len(server.bodies) == 21
    assert [r.status for r in first if r] == [r.status for r in second if r]
    assert [r.value for r in first if r] == [r.value for r in second if r]
    assert all(reply.cached and reply.cost_usd == pytest.approx(COST) for reply in second if reply)
    assert other_seed[0] is not None
    assert not other_seed[0].cached


def test_equal_questions_in_flight_are_sent_once_and_counted_once(tmp_path):
    same = [Question(question(0).messages, 0, "label", f"d:{i}", _read) for i in range(8)]
    with FaultServer(latency_s=0.05) as server:
        replies = ask_all(_settings(server), tmp_path / "ledger.sqlite", 1.0, "run", same)

    assert len(server.bodies) == 1
    assert {reply.value for reply in replies if reply} == {"mentions of Boston"}
    assert sum(reply.cost_usd for reply in replies if reply) == pytest.approx(COST)
    assert {reply.paid_for for reply in replies if reply} == {("label", "d:0")}


def test_a_killed_process_loses_the_requests_in_flight_at_most(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with FaultServer(latency_s=0.05) as server:
        process = subprocess.Popen([sys.executable, "-c", _ASK_A_HUNDRED, server.base_url, str(path), HERE, *sys.path])
        deadline = time.monotonic() + 60
        while len(server.billed) < 30 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
        process.wait()
        kept = _rows(path, "select count(*) from request_replies")[0][0]
        in_flight = _rows(path, "select count(*), sum(reserved_usd) from requests "
                                "where request_id not in (select request_id from request_replies)")[0]  # fmt: skip
        before = len(server.bodies)
        replies = ask_all(_settings(server), path, 1.0, "run-2", [question(i) for i in range(100)])
        ledger = RequestLedger(path, 1.0)
        spent = ledger.spent()
        ledger.close()

    assert 22 <= kept < 100
    # Four on the wire, and as many reserved to follow them.
    assert in_flight[0] <= 8
    assert len(server.bodies) - before == 100 - kept
    assert [reply.status for reply in replies if reply] == ["ok"] * 100
    assert spent == pytest.approx(100 * COST + (in_flight[1] or 0.0), abs=1e-9)
    assert sum(reply.cost_usd for reply in replies if reply) == pytest.approx(spent, abs=1e-9)


def test_a_schema_goes_along_until_the_server_refuses_it(tmp_path):
    with FaultServer(takes_schema=False) as plain, FaultServer() as able:
        settings = _settings(plain, concurrency=1)
        questions = [question(i, schema=SCHEMA) for i in range(6)]
        replies = ask_all(settings, tmp_path / "plain.sqlite", 1.0, "run", questions)
        ask_all(_settings(able), tmp_path / "able.sqlite", 1.0, "run", questions)

    assert [reply.status for reply in replies if reply] == ["ok"] * 6
    with_schema = ["response_format" in body for body in plain.bodies]
    # Another may be under way before the first answer.
    assert with_schema[0]
    assert sum(with_schema) <= 2
    assert not any(with_schema[-4:])
    assert all(body["response_format"]["json_schema"]["schema"] == SCHEMA for body in able.bodies)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_server_that_will_answer_nobody_ends_the_run_at_once(tmp_path, status):
    with FaultServer(refuses_with=status) as server, pytest.raises(HopelessError, match="OPENAI_API_KEY"):
        ask_all(_settings(server), tmp_path / "ledger.sqlite", 1.0, "run", [question(i) for i in range(200)])

    assert len(server.bodies) <= 16


def test_a_server_that_is_not_there_fails_each_question_at_no_cost(tmp_path):
    settings = ModelSettings("m", base_url="http://127.0.0.1:9/v1", price=PRICE, retries=1)

    replies = ask_all(settings, tmp_path / "ledger.sqlite", 1.0, "run", [question(0)])

    assert replies[0] is not None
    assert (replies[0].status, replies[0].cost_usd) == ("failed", 0.0)
    assert "Connect" in (replies[0].error or "")


def test_retry_after_makes_everybody_wait(tmp_path):
    with FaultServer({"busy": 1.0}, retry_after="0.2") as server:
        began = time.monotonic()
        replies = ask_all(_settings(server, retries=2), tmp_path / "l.sqlite", 1.0, "run", [question(0)])
        waited = time.monotonic() - began

    assert len(server.bodies) == 3
    assert waited >= 0.4
    assert replies[0] is not None
    assert replies[0].status == "failed"


def test_the_key_reaches_the_server_and_no_row(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    path = tmp_path / "ledger.sqlite"
    with FaultServer(answer=lambda body: '{"label": "sk-very-secret"}') as server:
        ask_all(_settings(server), path, 1.0, "run", [question(0)])

    assert "sk-very-secret" in server.headers[0]
    assert b"sk-very-secret" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


def test_no_key_and_no_server_is_an_error_that_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    with pytest.raises(AtlasError, match="Export it"):
        ask_all(ModelSettings("m"), tmp_path / "ledger.sqlite", 1.0, "run", [question(0)])
