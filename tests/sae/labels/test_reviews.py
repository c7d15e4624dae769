import hashlib
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from sae.errors import AtlasError
from sae.labels.current import current_labels
from sae.labels.ledger import Ledger
from sae.labels.reviews import review_label
from sae.labels.schema import LABELS, label_id

DAY = datetime(2026, 5, 6, tzinfo=UTC)


def _label(name, index=0, day=0, text="a bridge", status="ok", attempt=1, labeler="lexical"):
    return {
        "label_id": name,
        "feature_id": f"d:{index}",
        "dictionary_id": "d",
        "index": index,
        "label": text,
        "explanation": "What it is.",
        "labeler": labeler,
        "attempt": attempt,
        "status": status,
        "origin": "new",
        "created_at": DAY + timedelta(days=day),
    }


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        rows = [
            _label("aa11", day=0),
            _label("aa22", day=1, text="the bridge"),
            _label("bb33", index=1),
            _label("cc44", index=2, text="", status="refused"),
        ]
        ledger.append(labels=pl.DataFrame(rows, schema=LABELS))
        yield ledger


@pytest.fixture
def review(ledger):
    hours = iter(range(100))

    def say(label, verdict, proposed=None, reviewer="ada", **more):
        at = DAY + timedelta(days=2, hours=next(hours))
        return review_label(ledger, label, verdict, reviewer, at, proposed=proposed, **more)

    return say


def _current(ledger):
    return dict(
        current_labels(ledger.labels(["d"]), ledger.label_reviews(["d"]), ledger.label_renewals(["d"]))
        .select("feature_id", "label_id")
        .iter_rows()
    )


def test_without_a_review_the_newest_that_ended_well_is_current(ledger):
    assert _current(ledger) == {"d:0": "aa22", "d:1": "bb33"}


def test_a_rewritten_label_is_a_persons_own_with_its_parent(ledger, review):
    done = review("aa11", "rewrite", "Golden Gate\u202e Bridge\n", note="it is  the one", explanation="On the bridge.")
    ledger.append(labels=pl.DataFrame([_label("aa99", day=9)], schema=LABELS))

    (row,) = ledger.labels(["d"]).filter(pl.col("labeler") == "human").to_dicts()
    (said,) = ledger.label_reviews(["d"]).to_dicts()

    assert done.current is not None
    assert done.current["label_id"] == row["label_id"] == _current(ledger)["d:0"]
    assert (row["label"], row["explanation"]) == ("Golden Gate Bridge", "On the bridge.")
    assert (row["origin"], row["parent_label_id"], row["status"], row["model"]) == ("human", "aa11", "ok", "ada")
    assert row["prompt_sha256"] == hashlib.sha256(row["prompt"].encode()).hexdigest()
    assert row["label_id"] == label_id("d:0", "human", "ada", row["prompt_sha256"], row["seed"], row["attempt"])
    assert (said["verdict"], said["proposed_label"], said["note"]) == ("rewrite", "Golden Gate Bridge", "it is the one")


def test_a_rejected_label_gives_way_and_a_second_word_takes_it_back(ledger, review):
    assert review("aa22", "reject").current["label_id"] == "aa11"
    assert review("bb33", "reject").current is None
    assert _current(ledger) == {"d:0": "aa11"}
    assert review("aa22", "accept").current["label_id"] == "aa22"


def test_an_accepted_label_stays_when_a_newer_one_comes(ledger, review):
    review("aa11", "accept")
    ledger.append(labels=pl.DataFrame([_label("aa99", day=9)], schema=LABELS))

    assert _current(ledger)["d:0"] == "aa11"


def test_a_rejected_rewrite_can_be_proposed_once_more(ledger, review):
    first = review("aa11", "rewrite", "the Golden Gate").current
    assert review(first["label_id"], "reject").current["label_id"] == "aa22"

    again = review("aa11", "rewrite", "the Golden Gate").current

    assert again["label"] == "the Golden Gate"
    assert again["label_id"] != first["label_id"]


def test_a_failed_attempt_can_only_be_rewritten(review):
    with pytest.raises(AtlasError, match="is refused"):
        review("cc44", "accept")

    assert review("cc44", "rewrite", "a tower").current["label"] == "a tower"


@pytest.mark.parametrize(
    ("label", "more", "words"),
    [
        ("aa", {"verdict": "accept"}, "Several labels begin with 'aa': aa11, aa22"),
        ("zz", {"verdict": "accept"}, "No label 'zz'"),
        ("", {"verdict": "accept"}, "No label ''"),
        ("%", {"verdict": "accept"}, "No label '%'"),
        ("bb", {"verdict": "rewrite", "proposed": " \u200b\n"}, "empty"),
        ("bb", {"verdict": "rewrite", "proposed": "x" * 101}, "101 characters"),
        ("bb", {"verdict": "rewrite"}, "comes with the text"),
        ("bb", {"verdict": "reject", "proposed": "x"}, "comes with the text"),
        ("bb", {"verdict": "reject", "reviewer": "  "}, "reviewer"),
        ("bb", {"verdict": "reject", "note": "x" * 601}, "601 characters"),
    ],
)
def test_a_review_that_says_nothing_sensible_leaves_no_row(label, more, words, ledger, review):
    with pytest.raises(AtlasError, match=words):
        review(label, **more)

    assert ledger.review_ids() == []
    assert len(ledger.labels(["d"])) == 4


def test_the_beginning_of_an_id_is_enough(review):
    assert review("b", "accept").label_id == "bb33"
