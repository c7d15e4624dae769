"""Labelling in batches: the replies are fetched first, all of a round together; the labeler then finds them."""

import hashlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from sae.config.labeling import LabelerConfig
from sae.labels.batches import fetch_in_batches
from sae.labels.llm import FeatureQuestion, attempt_id, attempt_question
from sae.labels.question import Question, model_settings, request_identity
from sae.labels.reply import WrittenLabel, read_label
from sae.labels.request_ledger import RequestLedger


def fetch_labels(
    questions: Callable[[], Iterator[FeatureQuestion]],
    config: LabelerConfig,
    ledger_path: Path,
    run_id: str,
    *,
    skipped: Collection[str] = (),
    poll_s: float = 30.0,
    on_wait: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Bring a reply of use to each question into the ledger, as far as the attempts and the budget go.

    :param questions: gives them anew each time; each round asks those whose last reply was of no use
    :param skipped: ids of labels whose attempts are passed over
    """
    settings = model_settings(config)
    while fetch_in_batches(
        _due(questions(), config, ledger_path, skipped),
        settings,
        ledger_path,
        config.budget_usd or 0.0,
        run_id,
        read=read_label,
        poll_s=poll_s,
        on_wait=on_wait,
    ):
        pass


def _due(
    questions: Iterator[FeatureQuestion], config: LabelerConfig, ledger_path: Path, skipped: Collection[str]
) -> Iterator[Question[WrittenLabel]]:
    """The next attempt of every feature that has no reply of use, in the order of the features."""
    ledger = RequestLedger(ledger_path, 0.0)
    try:
        for feature in questions:
            attempt = bad = 0
            while bad < config.attempts:
                attempt += 1
                if attempt_id(feature, config, attempt) in skipped:
                    continue
                question = attempt_question(feature, config, attempt)
                status = _status(question, config, ledger)
                if status is None:
                    yield question
                if status in (None, "ok"):
                    break
                bad += 1
    finally:
        ledger.close()


def _status(question: Question[WrittenLabel], config: LabelerConfig, ledger: RequestLedger) -> str | None:
    body = request_identity(model_settings(config), question)
    known = ledger.known(hashlib.sha256(body.encode()).hexdigest())
    return known and known.ended.status
