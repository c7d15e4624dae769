"""A labeler that gives its old label again is in force again, unless a person or another dictionary says otherwise."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from sae.labels.current import ASKED_BY_NAME, current_labels, renewed
from sae.labels.ledger import Ledger
from sae.labels.schema import LABEL_REVIEWS, LABELS

DAY = datetime(2026, 5, 6, tzinfo=UTC)


def row(name: str, day: int, labeler: str, **more: object) -> dict[str, object]:
    feature = {"feature_id": "d:0", "dictionary_id": "d", "index": 0, "label": name, "explanation": ""}
    made = {"attempt": 1, "status": "ok", "origin": "new", "run_id": "run", "created_at": DAY + timedelta(days=day)}
    return {"label_id": name, "labeler": labeler, **feature, **made, **more}


def verdict(label: str, said: str) -> pl.DataFrame:
    review = {"review_id": "r", "label_id": label, "reviewer": "ada", "verdict": said, "created_at": DAY}
    return pl.DataFrame([review], schema=LABEL_REVIEWS)


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        yield ledger


def give(ledger: Ledger, name: str, day: int) -> int:
    """What a labeler's run does at its end; how many renewals it wrote."""
    given = pl.DataFrame({"label_id": [name], "feature_id": ["d:0"]})
    known = (ledger.labels(["d"]), ledger.label_reviews(["d"]), ledger.label_renewals(["d"]))
    return ledger.append(label_renewals=renewed(given, *known, "again", DAY + timedelta(days=day)))


def in_force(ledger: Ledger) -> str:
    known = (ledger.labels(["d"]), ledger.label_reviews(["d"]), ledger.label_renewals(["d"]))
    return current_labels(*known)["label_id"].item()


def test_there_and_back_and_there_again(ledger):
    ledger.append(labels=pl.DataFrame([row("offline", 0, "lexical"), row("model", 1, "openai")], schema=LABELS))
    followed = []
    for day, name in enumerate(("offline", "model", "offline"), start=2):
        give(ledger, name, day)
        followed.append(in_force(ledger))

    assert followed == ["offline", "model", "offline"]
    assert ledger.label_renewals(["d"]).select("label_id", "renewal").rows() == [
        ("model", 1),
        ("offline", 1),
        ("offline", 2),
    ]


def test_what_is_in_force_is_not_renewed(ledger):
    ledger.append(labels=pl.DataFrame([row("offline", 0, "lexical")], schema=LABELS))

    assert give(ledger, "offline", 1) == 0


@pytest.mark.parametrize(
    "newer",
    [
        row("stays", 1, "human", origin="human"),
        row("stays", 1, "openai", origin="carried"),
        row("stays", 1, "openai", run_id=f"{ASKED_BY_NAME}1"),
    ],
    ids=["a person's", "carried", "asked for by name"],
)
def test_what_has_a_better_claim_stays_in_force(newer, ledger):
    ledger.append(labels=pl.DataFrame([row("offline", 0, "lexical"), newer], schema=LABELS))

    assert give(ledger, "offline", 2) == 0
    assert in_force(ledger) == "stays"


@pytest.mark.parametrize(("label", "said"), [("model", "accept"), ("offline", "reject")])
def test_what_a_person_decided_holds(label, said, ledger):
    labels = pl.DataFrame([row("offline", 0, "lexical"), row("model", 1, "openai")], schema=LABELS)
    ledger.append(labels=labels, label_reviews=verdict(label, said))

    assert give(ledger, "offline", 2) == 0
    assert in_force(ledger) == "model"
