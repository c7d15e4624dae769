import sqlite3
from datetime import UTC, datetime

import polars as pl
import pytest

from sae.errors import AtlasError
from sae.labels.ledger import Ledger
from sae.labels.schema import LABEL_EXAMPLES, LABEL_REVIEWS, LABEL_SCORES, LABELS

WHEN = datetime(2026, 5, 6, 7, 8, 9, 10, tzinfo=UTC)


def _labels(*names, dictionary="d", label="Lakers"):
    rows = [
        {
            "label_id": name,
            "feature_id": f"{dictionary}:{i}",
            "dictionary_id": dictionary,
            "index": i,
            "label": label,
            "confidence": 0.25,
            "seed": 0,
            "cost_usd": 0.0,
            "created_at": WHEN,
        }
        for i, name in enumerate(names)
    ]
    return pl.DataFrame(rows, schema=LABELS)


def _scores(label_id, score):
    row = {"label_id": label_id, "scorer": "rule", "score": score, "model": "rule-1", "seed": 0, "created_at": WHEN}
    return pl.DataFrame([row], schema=LABEL_SCORES)


def test_what_is_written_is_read_again(tmp_path):
    labels = _labels("a", "b")
    uses = pl.DataFrame({"label_id": ["a"], "example_id": ["x"], "use": ["shown"]}, schema=LABEL_EXAMPLES)
    review = {"review_id": "r", "label_id": "b", "reviewer": "me", "verdict": "accept", "created_at": WHEN}
    reviews = pl.DataFrame([review], schema=LABEL_REVIEWS)

    with Ledger(tmp_path / "state" / "ledger.sqlite") as ledger:
        added = ledger.append(labels, uses, _scores("a", 0.5), reviews)
        ledger.append(_labels("z", dictionary="other"))

    with Ledger(tmp_path / "state" / "ledger.sqlite") as ledger:
        assert added == 5
        assert ledger.labels(["d"]).equals(labels)
        assert ledger.label_examples(["d"]).equals(uses)
        assert ledger.label_scores(["d"]).equals(_scores("a", 0.5))
        assert ledger.label_reviews(["d"]).equals(reviews)
        assert ledger.labels(["d", "other"])["label_id"].to_list() == ["a", "b", "z"]
        assert ledger.labels([]).schema == LABELS


def test_an_id_that_is_there_keeps_its_first_row(tmp_path):
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.append(_labels("a"), label_scores=_scores("a", 0.5))
        added = ledger.append(_labels("a", "b", label="Boston"), label_scores=_scores("a", 0.9))

        assert added == 1
        assert ledger.labels(["d"])["label"].to_list() == ["Lakers", "Boston"]
        assert ledger.label_scores(["d"])["score"].to_list() == [0.5]


@pytest.mark.parametrize("statement", ["update labels set label = 'x'", "delete from labels"])
def test_rows_cannot_be_changed(tmp_path, statement):
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        ledger.append(_labels("a"))

    connection = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(statement)
    connection.close()


def test_an_append_is_whole_or_not_at_all(tmp_path):
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        with pytest.raises(AtlasError, match="lack use"):
            ledger.append(_labels("a"), label_examples=pl.DataFrame({"label_id": ["a"], "example_id": ["x"]}))

        assert len(ledger.labels(["d"])) == 0


def test_readers_read_while_another_writes(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as writer, Ledger(path) as reader:
        writer.append(_labels("a"))
        assert len(reader.labels(["d"])) == 1


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"this is no database at all, whatever its name says" * 50)

    with pytest.raises(AtlasError, match="is no ledger"):
        Ledger(path)
