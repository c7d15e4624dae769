"""Labels: what each feature is called, on what evidence, and how well it holds. The ledger keeps all ever written."""

import datetime
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl

from assets.features import tables_made
from assets.neighbors import stacked
from orchestration.asset import made, source
from orchestration.carrying import carry
from orchestration.checks import at_least
from orchestration.labelling import ask_model, evidence, ledger_path
from orchestration.partitions import Keys
from orchestration.pinned import Pinned
from orchestration.resources import Atlas, Stage
from sae.config import load_workspace
from sae.config.labeling import MODEL_SCORERS

if TYPE_CHECKING:
    from sae.labels.llm import Progress

NOT_CONTENT = ("run_id", "created_at", "cost_usd")
"""Columns in which two equal labels may differ."""
_NAMES = {"label_id": pl.String, "feature_id": pl.String}


@dg.definitions
def labels_definitions() -> dg.Definitions:
    """The assets of the group."""
    return dg.Definitions(assets=labels_assets(Keys(load_workspace().config)))


def labels_assets(keys: Keys) -> list[dg.AssetsDefinition]:
    """`labels`, `label_scores`, and the sources that they watch."""

    @made(
        keys,
        "labels",
        group="labels",
        loads=["dictionary", "features", "examples", "logit_weights"],
        after=["labeler_config"],
        kinds={"sqlite", "polars"},
        code_version="3",
        pool="llm",
    )
    def labels(
        context: dg.AssetExecutionContext,
        atlas: Atlas,
        stage: Stage,
        dictionary: Pinned,
        features: dict[str, pl.DataFrame],
        examples: dict[str, pl.DataFrame],
        logit_weights: dict[str, pl.DataFrame],
    ) -> dg.MaterializeResult:
        """A label for every live feature: its name, a sentence, how sure the labeler is, and what it was shown."""
        from sae.labels.lexical import label_features
        from sae.labels.words import count_words

        if kept := stage.kept():
            return kept
        written, uses = label_features(
            features["features"],
            examples["examples"],
            count_words(shard.tokens for shard in dictionary.shards()),
            seed=atlas.config.labeler.seed,
            run_id=context.run_id,
            created_at=datetime.datetime.now(datetime.UTC),
        )
        if atlas.config.labeler.provider == "lexical":
            with atlas.ledger() as ledger:
                ledger.append(labels=written, label_examples=uses)
            _renew(atlas, dictionary, written.select("label_id", "feature_id"), context.run_id)
            if carry(atlas, context, dictionary, features["features"], examples["examples"]):
                written, uses = _in_force(atlas, dictionary)
            return _labelled(atlas, stage, dictionary, features["features"], written, uses)
        carry(atlas, context, dictionary, features["features"], examples["examples"])
        # What the budget does not reach keeps the label that it has; so that it has one, the offline labeler comes
        # first where there is none.
        nameless = written.join(_in_force(atlas, dictionary)[0], on="feature_id", how="anti")
        with atlas.ledger() as ledger:
            ledger.append(nameless, uses.join(nameless, on="label_id", how="semi"))
        progress = ask_model(
            atlas.workspace,
            evidence(atlas.workspace, {**features, **examples, **logit_weights}),
            context.run_id,
            name=f"labels {stage.partition}",
            show_progress=atlas.show_progress,
        )
        given = pl.DataFrame(progress.given, schema=_NAMES, orient="row")
        _renew(atlas, dictionary, given, context.run_id)
        if progress.unasked:
            context.log.warning(
                f"The budget is spent: {len(progress.unasked):,} features keep the label that they have."
            )
        return _labelled(
            atlas, stage, dictionary, features["features"], *_in_force(atlas, dictionary), progress=progress
        )

    @made(
        keys,
        "label_scores",
        group="labels",
        loads=["dictionary", "features", "labels", "examples", "evaluation"],
        after=["scorers_config"],
        kinds={"polars"},
        code_version="2",
        pool="llm",
    )
    def label_scores(
        context: dg.AssetExecutionContext,
        atlas: Atlas,
        stage: Stage,
        dictionary: Pinned,
        features: dict[str, pl.DataFrame],
        labels: dict[str, pl.DataFrame],
        examples: dict[str, pl.DataFrame],
        evaluation: dict[str, pl.DataFrame],
    ) -> dg.MaterializeResult:
        """How well labels predict their features on examples never shown, and whether they name the known concept."""
        from sae.evaluation.best_known import best_concepts
        from sae.evaluation.world_truth import world_names
        from sae.labels.rule import score_rules
        from sae.labels.truth import score_truth

        if kept := stage.kept():
            return kept
        record = (atlas.config.labeler.seed, context.run_id, datetime.datetime.now(datetime.UTC))
        written = labels["labels"]
        scores = []
        if "rule" in atlas.config.scorers:
            scores.append(score_rules(written, labels["label_examples"], examples["examples"], *record))
        if "truth" in atlas.config.scorers:
            concepts = best_concepts(evaluation["concept_scores"], world_names())
            scores.append(score_truth(written, concepts, *record))
        judged, reached = _judge(atlas, context, stage.partition, features, labels, examples)
        frame = stacked([*scores, *judged], "label_scores")
        with atlas.ledger() as ledger:
            ledger.append(label_scores=frame)
        means = dict(frame.group_by("scorer").agg(pl.col("score").mean()).sort("scorer").iter_rows())
        return tables_made(
            stage,
            dictionary,
            {"label_scores": frame},
            leave_out=NOT_CONTENT,
            metadata={"mean": means},
            checks=[at_least("judges_reach_all", reached, 1.0)],
        )

    return [
        source(keys, "labeler_config", group="labels", description="Who writes the labels, and the seed."),
        source(keys, "scorers_config", group="labels", description="Which scorers judge them."),
        labels,
        label_scores,
    ]


def _judge(
    atlas: Atlas,
    context: dg.AssetExecutionContext,
    pair: str,
    features: dict[str, pl.DataFrame],
    labels: dict[str, pl.DataFrame],
    examples: dict[str, pl.DataFrame],
) -> tuple[list[pl.DataFrame], float]:
    """Scores by a model, where the config names such scorers, and the share of labels that they reached."""
    from sae.labels.judges.scoring import score_with_model

    if not (names := MODEL_SCORERS.intersection(atlas.config.scorers)):
        return [], 1.0
    done = score_with_model(
        names,
        labels["labels"],
        labels["label_examples"],
        examples["examples"],
        features["features"],
        atlas.config.labeler,
        ledger_path(atlas.workspace),
        context.run_id,
        atlas.progress(f"label_scores {pair}", "labels"),
    )
    if done.unasked:
        context.log.warning(f"The budget is spent: {done.unasked:,} scores are not made.")
    if done.failed:
        context.log.warning(f"{done.failed:,} scores could not be asked for. `atlas run --force` asks again.")
    left = done.unasked + done.failed
    return [done.scores], done.scores.height / max(1, done.scores.height + left)


def _in_force(atlas: Atlas, dictionary: Pinned) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The labels in force of a dictionary, and the uses of their examples, by the ledger."""
    from sae.labels.current import current_labels

    ids = [dictionary.dictionary_id]
    with atlas.ledger() as ledger:
        labels = current_labels(ledger.labels(ids), ledger.label_reviews(ids), ledger.label_renewals(ids))
        return labels, ledger.label_examples(ids).join(labels, on="label_id", how="semi")


def _renew(atlas: Atlas, dictionary: Pinned, given: pl.DataFrame, run_id: str) -> None:
    """Bring into force what the configured labeler gave, where it was written before another labeler's label."""
    from sae.labels.current import renewed

    ids, now = [dictionary.dictionary_id], datetime.datetime.now(datetime.UTC)
    with atlas.ledger() as ledger:
        known = (ledger.labels(ids), ledger.label_reviews(ids), ledger.label_renewals(ids))
        ledger.append(label_renewals=renewed(given, *known, run_id, now))


def _labelled(
    atlas: Atlas,
    stage: Stage,
    dictionary: Pinned,
    features: pl.DataFrame,
    labels: pl.DataFrame,
    uses: pl.DataFrame,
    progress: "Progress | None" = None,
) -> dg.MaterializeResult:
    """The result of labelling. Who was asked, and what it cost, is metadata: the content is the labels."""
    alive = int((~features["is_dead"]).sum())
    covered = labels.filter(pl.col("status") == "ok")["feature_id"].n_unique() / max(1, alive)
    asked: dict[str, float] = {}
    reached = 1.0
    if progress is not None:
        reached = 1 - len(progress.unasked) / max(1, progress.total)
        asked = {
            "labelled_by_model": progress.labelled,
            "without_usable_reply": progress.marked,
            "beyond_the_budget": len(progress.unasked),
            "cost_usd": progress.paid_usd,
            "spent_usd": progress.spent_usd,
        }
    return tables_made(
        stage,
        dictionary,
        {"labels": labels, "label_examples": uses},
        leave_out=NOT_CONTENT,
        metadata={"covered": covered, **asked, "first": dg.MetadataValue.md(_first(labels))},
        checks=[
            at_least("labels_cover", covered, atlas.config.checks.labels_cover),
            at_least("budget_reaches_all", reached, 1.0),
        ],
    )


def _first(labels: pl.DataFrame) -> str:
    rows = [
        f"| {row['index']} | {row['label'].replace('|', ' ')} | {_number(row['confidence'])} |"
        for row in labels.head(20).to_dicts()
    ]
    return "\n".join(["| index | label | confidence |", "|---|---|---|", *rows])


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
