"""Taking a document out of the ledger: every row that shows it loses its words, no other row changes."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from sae.features.example_sampler import ExampleSizes
from sae.identity import content_id
from sae.labels.ledger import Ledger
from sae.labels.redaction import FORGOTTEN, Row, Wanted, redact, rows_holding
from sae.labels.request_ledger import Ended, Request, RequestLedger
from sae.labels.schema import LABEL_EXAMPLES, LABEL_REVIEWS, LABELS

NOW = datetime(2026, 1, 2, tzinfo=UTC)
TEXT = 'The secret of "Ada" is\n<at> home in 東京.'
LENGTH = 40
WANTED = Wanted({"doc", "doc-again"}, {LENGTH, 3}, TEXT)


def example(feature: str, document: str, at: int) -> str:
    radius = ExampleSizes().radius
    return content_id([feature, document, at, max(0, at - radius), min(LENGTH - 1, at + radius)])


def label(index: int, **columns: object) -> dict[str, object]:
    return {
        **dict.fromkeys(LABELS),
        "label_id": f"label-{index}",
        "feature_id": f"dict:{index}",
        "dictionary_id": "dict",
        "index": index,
        "label": f"name {index}",
        "explanation": "",
        "labeler": "openai",
        "prompt": f"prompt {index}",
        "raw_reply": "reply",
        "attempt": 1,
        "status": "ok",
        "origin": "new",
        "run_id": "run",
        "created_at": NOW,
        **columns,
    }


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """Label 0 was written from the document, 1 kept it back, 2 never saw it, 3 came from 0, 4 quotes it."""
    path = tmp_path / "ledger.sqlite"
    rows = [
        label(0),
        label(1),
        label(2),
        label(3, origin="carried", parent_label_id="label-0", label="name 0"),
        label(4, prompt=json.dumps([{"content": f"before {TEXT} after"}])),
    ]
    uses = [
        ("label-0", example("dict:0", "doc-again", 17), "shown"),
        ("label-0", example("dict:0", "other", 17), "shown"),
        ("label-1", example("dict:1", "doc", 39), "held_out"),
        ("label-2", example("dict:2", "other", 3), "shown"),
    ]
    reviews = [
        {"review_id": "r0", "label_id": "label-2", "reviewer": "ada", "verdict": "reject", "note": f"why {TEXT}?"},
        {"review_id": "r1", "label_id": "label-2", "reviewer": "ada", "verdict": "accept", "note": "good"},
    ]
    frame = pl.DataFrame([r | {"proposed_label": None, "created_at": NOW} for r in reviews], schema=LABEL_REVIEWS)
    with Ledger(path) as opened:
        examples = pl.DataFrame(uses, schema=LABEL_EXAMPLES, orient="row")
        opened.append(labels=pl.DataFrame(rows, schema=LABELS), label_examples=examples, label_reviews=frame)
    asked = RequestLedger(path, 1.0)
    keys = {"label": ["dict:0", "dict:2"], "detection": ["label-1", "label-2"]}
    for purpose, about in keys.items():
        for key in about:
            request = Request(f"sha {purpose} {key}", f"body of {key}", purpose, key, "http://x", "m", 0, 1, 0.01)
            _, (request_id,) = asked.write([], [request], "run")
            asked.write([(request_id, Ended("ok", 200, "text", None, "raw", 1, 1, 0.005))], [], "run")
    asked.close()
    return path


def table(path: Path, query: str) -> list[tuple]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def test_the_rows_are_found_by_every_window_and_by_the_text(ledger: Path):
    rows = rows_holding(ledger, WANTED)

    assert set(rows) == {
        *(Row("labels", f"label-{index}") for index in (0, 3, 4)),
        Row("label_reviews", "r0"),
        Row("request_prompts", "sha label dict:0"),
        Row("request_replies", 1),
        Row("request_prompts", "sha detection label-1"),
        Row("request_replies", 3),
    }


def test_words_go_and_ids_costs_and_all_other_rows_stay(ledger: Path):
    others = "select * from labels where label_id in ('label-1', 'label-2')"
    before = table(ledger, others)
    spent = table(ledger, "select sum(cost_usd), sum(input_tokens) from request_replies")

    redact(ledger, rows_holding(ledger, WANTED))

    assert table(ledger, others) == before
    gone = table(ledger, "select label, explanation, prompt, raw_reply, status from labels where label_id = 'label-0'")
    assert gone == [("", "", None, None, "forgotten")]
    assert table(ledger, "select sum(cost_usd), sum(input_tokens) from request_replies") == spent
    assert table(ledger, "select note from label_reviews order by review_id") == [(FORGOTTEN,), ("good",)]
    assert rows_holding(ledger, WANTED) == []
    assert b"The secret of" not in b"".join(path.read_bytes() for path in ledger.parent.iterdir())


def test_the_ledger_is_append_only_again_afterwards(ledger: Path):
    redact(ledger, rows_holding(ledger, WANTED))

    for change in ("update labels set label = ''", "update requests set seed = 1", "delete from labels"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            table(ledger, change)


def test_a_reply_without_its_words_is_asked_for_again(ledger: Path):
    redact(ledger, rows_holding(ledger, WANTED))

    asked = RequestLedger(ledger, 1.0)
    known = [asked.known(f"sha {name}") for name in ("label dict:0", "label dict:2")]
    asked.close()
    assert known[0] is None
    assert known[1] is not None


def test_no_ledger_holds_nothing(tmp_path: Path):
    assert rows_holding(tmp_path / "ledger.sqlite", WANTED) == []
    redact(tmp_path / "ledger.sqlite", [])
    assert not (tmp_path / "ledger.sqlite").exists()
