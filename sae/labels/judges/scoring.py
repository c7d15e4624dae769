"""Scoring labels with a language model: each batch of each label by each scorer, within the labeler's budget."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from sae.config.labeling import LabelerConfig
from sae.labels.judges.classifiers import DETECTION, FUZZING
from sae.labels.judges.judge import Batch, Judge, Judged, messages, tenth
from sae.labels.judges.simulation import SIMULATION
from sae.labels.judges.specificity import SPECIFICITY
from sae.labels.question import Question, Reply, model_settings
from sae.labels.requests import ask_all
from sae.labels.schema import LABEL_SCORES

JUDGES: dict[str, Judge] = {judge.name: judge for judge in (DETECTION, FUZZING, SIMULATION, SPECIFICITY)}
"""The scorers that ask a model, by name."""
_LABELS_AT_ONCE = 128
"""Labels whose prompts and replies are in memory together."""


class Judgement(NamedTuple):
    """What came of scoring."""

    scores: pl.DataFrame
    """Rows of `label_scores`."""
    unasked: int
    """Pairs of label and scorer that the budget did not reach."""
    failed: int
    """Pairs that a fault of the server or the network left open: the next run asks again."""


class _Asked(NamedTuple):
    judge: Judge
    judged: Judged
    batch: Batch


def score_with_model(
    names: Collection[str],
    labels: pl.DataFrame,
    label_examples: pl.DataFrame,
    examples: pl.DataFrame,
    features: pl.DataFrame,
    config: LabelerConfig,
    ledger_path: Path,
    run_id: str,
    on_label: Callable[[int, int], None] = lambda done, total: None,
) -> Judgement:
    """Score labels with some of JUDGES, on their held-out examples only.

    A batch whose reply is of no use is left out, and counted in the details as `unanswered`; where that leaves nothing
    to score, the score is null. Replies lie in the ledger: scoring again asks nothing again.

    :param labels: label_id, feature_id, label, explanation; those of a model are judged first
    :param features: feature_id, max_activation
    Raises ConfigError where the config names no model, HopelessError where its server answers nobody.
    """
    settings = model_settings(config)
    judges = [JUDGES[name] for name in sorted(names)]
    every = list(_judged(labels, label_examples, examples, features))
    on_label(0, len(every))
    rows: list[dict[str, Any]] = []
    unasked = failed = 0
    for start in range(0, len(every), _LABELS_AT_ONCE):
        part = every[start : start + _LABELS_AT_ONCE]
        asked = [_Asked(j, one, batch) for one in part for j in judges for batch in j.batches(one, config.seed)]
        questions = [_question(item, config.seed) for item in asked]
        replies = ask_all(settings, ledger_path, config.budget_usd or 0.0, run_id, questions)
        pairs = zip(asked, replies, strict=True)
        for _, group in groupby(pairs, key=lambda pair: (pair[0].judge.name, pair[0].judged.label_id)):
            answers = list(group)
            if any(reply is None for _, reply in answers):
                unasked += 1
            elif any(reply is not None and reply.status == "failed" for _, reply in answers):
                failed += 1
            else:
                rows.append(_row(answers, settings.model, config.seed, run_id))
        on_label(start + len(part), len(every))
    return Judgement(pl.DataFrame(rows, schema=LABEL_SCORES), unasked, failed)


def _question(asked: _Asked, seed: int) -> Question[list[Any]]:
    judge, judged, batch = asked
    return Question(
        messages(judge, judged, batch),
        seed,
        judge.name,
        judged.label_id,
        partial(judge.read, batch),
        judge.schema,
        judge.output_tokens,
    )


def _row(
    answers: Sequence[tuple[_Asked, Reply[list[Any]] | None]], model: str, seed: int, run_id: str
) -> dict[str, Any]:
    judge, judged, _ = answers[0][0]
    answered = [
        pair
        for asked, reply in answers
        if reply is not None and reply.value is not None
        for pair in zip(asked.batch.samples, reply.value, strict=True)
    ]
    score = judge.score(judged, answered)
    unanswered = sum(len(asked.batch.samples) for asked, _ in answers) - len(answered)
    return {
        "label_id": judged.label_id,
        "scorer": judge.name,
        "score": score.score,
        "n": score.n,
        "details": json.dumps({**score.details, "unanswered": unanswered, "prompt_version": judge.prompt_version}),
        "model": model,
        "seed": seed,
        "run_id": run_id,
        "created_at": datetime.now(UTC),
    }


def _judged(
    labels: pl.DataFrame, label_examples: pl.DataFrame, examples: pl.DataFrame, features: pl.DataFrame
) -> Iterator[Judged]:
    """The labels that have held-out examples."""
    written = (
        labels.with_columns(first=pl.col("labeler") != "lexical")
        .sort("first", "dictionary_id", "index", descending=[True, False, False])
        .join(features.select("feature_id", "max_activation"), on="feature_id")
    )
    columns = ("example_id", "kind", "position", "activation", "tokens", "activations")
    held_out = (
        label_examples.filter(pl.col("use") == "held_out")
        .select("label_id", "example_id")
        .join(examples.unique("example_id"), on="example_id")
        .sort("label_id", "example_id")
        .group_by("label_id", maintain_order=True)
        .agg(pl.struct(columns).alias("rows"))
    )
    draws = (
        examples.filter(pl.col("kind") == "random")
        .join(features.select("feature_id", "max_activation"), on="feature_id")
        .select("feature_id", "activation", "max_activation")
    )
    drawn: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for feature_id, activation, largest in draws.iter_rows():
        drawn[feature_id][tenth(activation, largest)] += 1
    for row in written.join(held_out, on="label_id").iter_rows(named=True):
        yield Judged(
            label_id=row["label_id"],
            label=row["label"],
            explanation=row["explanation"],
            largest=row["max_activation"],
            held_out=row["rows"],
            tenths=drawn.get(row["feature_id"], {}),
        )
