"""The labeler that asks a language model: one prompt a feature, one row for each attempt.

A feature's attempts are numbered from 1; attempt n is asked with the labeler's seed + n − 1. An attempt whose reply is
of no use (refused, empty, truncated, malformed) is followed by another, `attempts` of them at most; one that failed
on the way ends the feature for this run, and the next run goes on with the next number. Replies lie in the ledger, so
labelling again asks nothing again.
"""

import asyncio
import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from sae.config.labeling import LabelerConfig
from sae.identity import canonical_json
from sae.labels.ledger import Ledger
from sae.labels.prompt import PROMPT_VERSION, label_messages, wording
from sae.labels.question import BudgetSpentError, Question, Reply, model_settings, shown_messages
from sae.labels.reply import SCHEMA, WrittenLabel, read_label
from sae.labels.requests import Asker, each
from sae.labels.schema import LABEL_EXAMPLES, LABELS, label_id
from sae.labels.shown import choose_places
from sae.labels.split import split_examples

LABELER = "openai"
_ROWS_AT_ONCE = 128
"""Rows written to the ledger in one go; the replies behind them are in it already."""


@dataclass(frozen=True)
class Evidence:
    """What prompts are made from: tables of one or more dictionaries."""

    features: pl.DataFrame
    """feature_id, dictionary_id, index, max_activation."""
    examples: pl.DataFrame
    """The table `examples`; those that `split_examples` holds out are never shown."""
    logit_weights: pl.DataFrame
    """The table `logit_weights`."""
    picture: Callable[[str], bytes]
    """Reads a picture (PNG bytes) by its path in the store."""
    radius: int = 12
    """Tokens kept on either side of an example's place."""


@dataclass(frozen=True)
class FeatureQuestion:
    """What is asked about one feature."""

    feature_id: str
    dictionary_id: str
    index: int
    messages: list[dict[str, Any]]
    prompt: str
    """Canonical JSON of the messages, pictures by their hash."""
    prompt_sha256: str
    """SHA-256 of `prompt`."""
    shown: list[str]
    held_out: list[str]


@dataclass
class Progress:
    """How far a run is."""

    total: int
    done: int = 0
    """Features that ended: labelled, marked or left out."""
    labelled: int = 0
    marked: int = 0
    """Features without a usable reply."""
    unasked: list[str] = field(default_factory=list)
    """Features that the budget did not reach."""
    given: list[tuple[str, str]] = field(default_factory=list)
    """The labels that the model gave, label_id and feature_id, whenever it was asked."""
    spent_usd: float = 0.0
    """By the whole ledger, ever."""
    paid_usd: float = 0.0
    """In this run."""

    def add(self, other: "Progress") -> None:
        """Count another dictionary's features in."""
        self.total += other.total
        self.done += other.done
        self.labelled += other.labelled
        self.marked += other.marked
        self.unasked += other.unasked
        self.given += other.given
        self.spent_usd = other.spent_usd
        self.paid_usd += other.paid_usd


def feature_questions(evidence: Evidence, order: Sequence[str], config: LabelerConfig) -> Iterator[FeatureQuestion]:
    """The questions about some features, in their order; features without an example to show are left out."""
    wanted = evidence.examples.filter(pl.col("feature_id").is_in(list(order)))
    split = split_examples(wanted).partition_by("feature_id", as_dict=True)
    words = wording()
    likelier = _likelier(evidence.logit_weights, config.examples.logit_tokens)
    rows = {row["feature_id"]: row for row in evidence.features.iter_rows(named=True)}
    for feature_id in order:
        examples = split.get((feature_id,))
        if examples is None:
            continue
        row, sizes = rows[feature_id], config.examples
        used = examples.to_dicts()
        may_show = [example for example in used if example["use"] == "shown"]
        places = choose_places(may_show, row["max_activation"], sizes, evidence.radius)
        picture = evidence.picture if config.images else None
        messages = label_messages(places, likelier.get(feature_id, []), words, picture, sizes.pictures)
        prompt = canonical_json(shown_messages(messages))
        yield FeatureQuestion(
            feature_id,
            row["dictionary_id"],
            row["index"],
            messages,
            prompt,
            hashlib.sha256(prompt.encode()).hexdigest(),
            [place.example_id for place in places],
            [example["example_id"] for example in used if example["use"] == "held_out"],
        )


def label_with_model(
    evidence: Evidence,
    order: Sequence[str],
    config: LabelerConfig,
    ledger_path: Path,
    run_id: str,
    *,
    passed_over: Collection[str] = (),
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Ask about features in their order and write what comes back to the ledger.

    :param passed_over: ids of labels that shall not stand (a person rejected them): the next attempt is asked for
    Raises HopelessError where the server answers nobody, and ConfigError where the config names no model.
    """
    settings = model_settings(config)
    progress = Progress(total=len(order))
    with Ledger(ledger_path) as ledger:
        writer = _Writer(ledger, run_id)
        failed = ledger.label_ids("failed") | set(passed_over)

        async def work() -> None:
            async with Asker(settings, ledger_path, config.budget_usd or 0.0, run_id) as asker:
                before = asker.spent()

                async def one(question: FeatureQuestion) -> None:
                    try:
                        name, status = await _label(asker, question, config, failed, writer)
                        progress.labelled += status == "ok"
                        progress.marked += status != "ok"
                        progress.given += [(name, question.feature_id)] if status == "ok" else []
                    except BudgetSpentError:
                        progress.unasked.append(question.feature_id)
                    progress.done += 1
                    progress.spent_usd = asker.spent()
                    progress.paid_usd = progress.spent_usd - before
                    on_progress(progress)

                await each(feature_questions(evidence, order, config), asker.at_once, one)

        try:
            asyncio.run(work())
        finally:
            writer.flush()
    return progress


def attempt_id(question: FeatureQuestion, config: LabelerConfig, attempt: int) -> str:
    """Id of the label that an attempt gives."""
    assert config.model is not None
    return label_id(question.feature_id, LABELER, config.model, question.prompt_sha256, config.seed, attempt)


def attempt_question(question: FeatureQuestion, config: LabelerConfig, attempt: int) -> Question[WrittenLabel]:
    """What an attempt asks."""
    seed = config.seed + attempt - 1
    return Question(question.messages, seed, "label", question.feature_id, read_label, SCHEMA)


async def _label(
    asker: Asker, question: FeatureQuestion, config: LabelerConfig, skipped: Collection[str], writer: "_Writer"
) -> tuple[str, str]:
    """Ask until a reply is of use; the label's id and the status of the last attempt."""
    attempt, bad = 0, 0
    while True:
        attempt += 1
        name = attempt_id(question, config, attempt)
        if name in skipped:
            continue
        reply = await asker.ask(attempt_question(question, config, attempt))
        writer.add(name, question, config, attempt, reply)
        bad += reply.status != "ok"
        if reply.status in ("ok", "failed") or bad == config.attempts:
            return name, reply.status


class _Writer:
    """Gathers rows and writes them to the ledger a few at a time."""

    def __init__(self, ledger: Ledger, run_id: str):
        self._ledger, self._run_id = ledger, run_id
        self._labels: list[Mapping[str, object]] = []
        self._uses: list[tuple[str, str, str]] = []

    def add(
        self, name: str, question: FeatureQuestion, config: LabelerConfig, attempt: int, reply: Reply[WrittenLabel]
    ) -> None:
        written = reply.value
        self._labels.append(
            {
                "label_id": name,
                "feature_id": question.feature_id,
                "dictionary_id": question.dictionary_id,
                "index": question.index,
                "label": written.label if written else "",
                "explanation": written.explanation if written else "",
                "confidence": written.confidence if written else None,
                "labeler": LABELER,
                "model": config.model,
                "prompt_version": PROMPT_VERSION,
                "prompt_sha256": question.prompt_sha256,
                "prompt": question.prompt,
                "seed": config.seed,
                "temperature": config.temperature,
                "attempt": attempt,
                "input_tokens": reply.input_tokens,
                "output_tokens": reply.output_tokens,
                "cost_usd": reply.cost_usd,
                "raw_reply": reply.raw,
                "status": reply.status,
                "origin": "new",
                "run_id": self._run_id,
                "created_at": reply.created_at,
            }
        )
        self._uses += [(name, example, "shown") for example in question.shown]
        self._uses += [(name, example, "held_out") for example in question.held_out]
        if len(self._labels) >= _ROWS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write what was gathered."""
        if self._labels:
            self._ledger.append(
                pl.DataFrame(self._labels, schema=LABELS), pl.DataFrame(self._uses, LABEL_EXAMPLES, orient="row")
            )
            self._labels, self._uses = [], []


def _likelier(logit_weights: pl.DataFrame, count: int) -> dict[str, list[str]]:
    best = logit_weights.filter((pl.col("sign") == "positive") & (pl.col("rank") <= count)).sort("feature_id", "rank")
    return dict(best.group_by("feature_id", maintain_order=True).agg("token").iter_rows())
