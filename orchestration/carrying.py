"""Taking labels over from the dictionary that was replaced, before anything is labelled anew."""

import datetime

import dagster as dg
import polars as pl

from orchestration.labelling import ledger_path
from orchestration.pinned import Pinned
from orchestration.resources import Atlas
from sae.config.labeling import Scorer


def carry(
    atlas: Atlas, context: dg.AssetExecutionContext, dictionary: Pinned, features: pl.DataFrame, examples: pl.DataFrame
) -> int:
    """Write the labels that live on to the ledger, and reject those that do not hold; how many stay in force.

    Nothing is compared where the old dictionary has no label that is worth it.
    """
    from sae.features.matches import match_features
    from sae.labels.carry import carry_labels, rejections, unfit, worth_carrying
    from sae.labels.judges.scoring import score_with_model
    from sae.labels.rule import score_rules

    if (previous := dictionary.previous()) is None:
        return 0
    old, old_id = previous
    with atlas.ledger() as ledger:
        ids = [old_id]
        parents = worth_carrying(ledger.labels(ids), ledger.label_reviews(ids), ledger.label_renewals(ids))
        if parents.is_empty():
            return 0
        parent_uses, parent_scores = ledger.label_examples([old_id]), ledger.label_scores([old_id])
    matches = match_features(
        dictionary.dictionary, dictionary.dictionary_id, old, old_id, dictionary.shards("held_out")
    )
    now = datetime.datetime.now(datetime.UTC)
    carried, uses = carry_labels(parents, parent_uses, matches, examples, context.run_id, now)
    if carried.is_empty():
        return 0
    with atlas.ledger() as ledger:
        ledger.append(labels=carried, label_examples=uses)
        reviewed = ledger.label_reviews([dictionary.dictionary_id])["label_id"]
    new = carried.filter(~pl.col("label_id").is_in(reviewed.implode()))
    scores = [score_rules(new, uses, examples, atlas.config.labeler.seed, context.run_id, now)]
    classifiers: set[Scorer] = {"detection", "fuzzing"}
    if asking := classifiers.intersection(atlas.config.scorers):
        config, path = atlas.config.labeler, ledger_path(atlas.workspace)
        scores.append(score_with_model(asking, new, uses, examples, features, config, path, context.run_id).scores)
    threshold = atlas.config.checks.label_score
    low = unfit(new, scores, parent_scores, threshold)
    with atlas.ledger() as ledger:
        ledger.append(label_scores=pl.concat(scores), label_reviews=rejections(low, threshold, now))
    context.log.info(f"{carried.height:,} labels were carried from {old_id}; {low.height:,} of them do not hold.")
    return carried.height - low.height
