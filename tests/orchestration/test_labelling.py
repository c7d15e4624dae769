"""Who is asked about, and in what order, by what the ledger knows."""

from datetime import UTC, datetime

import polars as pl
import pytest
import yaml
from tiny_pipeline import CONFIG

from orchestration.labelling import asking_order, ledger_path
from sae.config import load_workspace
from sae.labels.ledger import Ledger
from sae.labels.prompt import PROMPT_VERSION
from sae.labels.schema import LABEL_REVIEWS, LABELS

LABELER = {"provider": "openai", "model": "m", "budget_usd": 1, "price": {"input": 1, "output": 1}, "seed": 3}
WHEN = datetime(2026, 5, 6, tzinfo=UTC)


@pytest.fixture
def workspace(tmp_path):
    path = tmp_path / "atlas.yaml"
    path.write_text(yaml.safe_dump(CONFIG | {"labeler": LABELER}))
    return load_workspace(path)


def _features(n):
    columns = {"index": range(n), "density": 0.01, "max_activation": [10.0 - i for i in range(n)], "is_dead": False}
    frame = pl.DataFrame(columns)
    return frame.with_columns(dictionary_id=pl.lit("d"), feature_id=pl.format("d:{}", "index"))


def _label(workspace, index, **keys):
    fields = {"labeler": "openai", "model": "m", "seed": 3, "prompt_version": PROMPT_VERSION, "origin": "new"}
    row = {
        "label_id": f"label{index}",
        "feature_id": f"d:{index}",
        "dictionary_id": "d",
        "index": index,
        "label": "x",
        "status": "ok",
        "attempt": 1,
        "created_at": WHEN,
        **fields,
        **keys,
    }
    with Ledger(ledger_path(workspace)) as ledger:
        ledger.append(pl.DataFrame([row], schema=LABELS))


def _reject(workspace, index):
    row = {"review_id": "r", "label_id": f"label{index}", "reviewer": "me", "verdict": "reject", "created_at": WHEN}
    with Ledger(ledger_path(workspace)) as ledger:
        ledger.append(label_reviews=pl.DataFrame([row], schema=LABEL_REVIEWS))


def test_rejected_labels_come_first_then_stale_ones_then_the_others_and_people_s_and_carried_ones_are_left_alone(
    workspace,
):
    _label(workspace, 1)
    _label(workspace, 2, model="older")
    _label(workspace, 3, origin="carried")
    _label(workspace, 4, labeler="human")
    _label(workspace, 5)
    _label(workspace, 6, labeler="lexical", model="log-odds", seed=0, prompt_version="lexical-1")
    _reject(workspace, 5)

    order, passed_over = asking_order(workspace, _features(7))

    assert order == ["d:5", "d:2", "d:0", "d:1", "d:6"]
    assert passed_over == {"label5"}


def test_features_asked_for_by_name_are_the_only_ones_and_may_be_a_person_s(workspace):
    _label(workspace, 4, labeler="human")

    order, passed_over = asking_order(workspace, _features(7), only=["d:4", "d:2"])
    _, again = asking_order(workspace, _features(7), only=["d:4"], again=True)

    assert order == ["d:2", "d:4"]
    assert (passed_over, again) == (set(), {"label4"})
