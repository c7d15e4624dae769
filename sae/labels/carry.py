"""Labels that a new dictionary takes over from the one that it replaced, where a feature lives on.

A label stays with its feature for ever. Where a feature of the new dictionary carries an old one on
(`features.matches`), the old label in force is written anew for it: another row, of origin `carried`,
with the old one as its parent and the match that justifies it as its prompt. Labels that the offline labeler can write
again for nothing are not taken over, unless a person accepted them.

A carried label is scored on the new feature's held-out examples. Those are left out whose document the old label's
writer may have seen: it is of the half of the documents that were shown of the old feature, or holds an example that
is known by its id to have been shown (an id is a hash of feature, document, position and window). A label that scores
under the threshold is rejected by a review of its own, so that it is not in force and its feature is labelled again.
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime

import polars as pl

from sae.features.example_sampler import ExampleSizes
from sae.identity import canonical_json, content_id
from sae.labels.current import current_labels, last_verdicts
from sae.labels.schema import LABEL_EXAMPLES, LABEL_REVIEWS, LABELS, label_id
from sae.labels.split import keeps_back, split_examples

PROMPT_VERSION = "carried-1"
REVIEWER = "carrying"
"""Who rejects a carried label that does not hold."""
_RADIUS = ExampleSizes().radius
_MATCH = ("feature_id", "previous_feature_id", "cosine", "activation_correlation", "status")


def worth_carrying(labels: pl.DataFrame, reviews: pl.DataFrame, renewals: pl.DataFrame) -> pl.DataFrame:
    """The labels in force of an old dictionary that cost money or somebody's time.

    :param labels: all of the dictionary's rows of `labels`
    :param reviews: their reviews
    :param renewals: their renewals
    """
    accepted = last_verdicts(reviews).filter(pl.col("verdict") == "accept")["label_id"]
    dear = (pl.col("labeler") != "lexical") | pl.col("label_id").is_in(accepted.implode())
    return current_labels(labels, reviews, renewals).filter(dear)


def carry_labels(
    parents: pl.DataFrame,
    parent_uses: pl.DataFrame,
    matches: pl.DataFrame,
    examples: pl.DataFrame,
    run_id: str,
    created_at: datetime,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of `labels` and `label_examples` that a new dictionary takes over.

    :param parents: labels in force of the old dictionary
    :param parent_uses: their rows of `label_examples`
    :param matches: the table `feature_matches` from the old dictionary to the new one
    :param examples: the table `examples` of the new dictionary
    """
    carried = matches.filter(pl.col("status") == "carried").sort("dictionary_id", "index")
    by_feature = {row["feature_id"]: row for row in parents.to_dicts()}
    shown = dict(parent_uses.filter(pl.col("use") == "shown").group_by("label_id").agg("example_id").iter_rows())
    place = pl.struct("example_id", "document_id", "position", "use", pl.col("tokens").list.len())
    places = dict(
        split_examples(examples)
        .select("feature_id", place=place)
        .group_by("feature_id", maintain_order=True)
        .agg("place")
        .iter_rows()
    )
    rows: list[dict[str, object]] = []
    uses: list[tuple[str, str, str]] = []
    for match in carried.to_dicts():
        parent = by_feature.get(match["previous_feature_id"])
        if parent is None:
            continue
        row = _carried(parent, match, run_id, created_at)
        rows.append(row)
        read = set(shown.get(parent["label_id"], []))
        unread = _unread(places.get(match["feature_id"], []), match["previous_feature_id"], read)
        uses += [(str(row["label_id"]), example_id, "held_out") for example_id in unread]
    return pl.DataFrame(rows, schema=LABELS), pl.DataFrame(uses, schema=LABEL_EXAMPLES, orient="row")


def unfit(
    carried: pl.DataFrame, scores: Iterable[pl.DataFrame], parent_scores: pl.DataFrame, threshold: float
) -> pl.DataFrame:
    """Carried labels that score under the threshold: label_id, scorer, score.

    Detection and fuzzing count where there are any, otherwise the rule; but not where the rule did not hold for the
    parent either: then it cannot read what the label says.

    :param scores: frames of `label_scores`
    :param parent_scores: rows of `label_scores` of the parents
    """
    found = pl.concat(scores).filter(pl.col("scorer").is_in(["detection", "fuzzing", "rule"]))
    found = found.drop_nulls("score").join(carried.select("label_id", "parent_label_id"), on="label_id")
    judged = found.filter(pl.col("scorer") != "rule")
    unread = parent_scores.filter((pl.col("scorer") == "rule") & (pl.col("score") < threshold))["label_id"]
    by_rule = found.filter(
        (pl.col("scorer") == "rule")
        & ~pl.col("label_id").is_in(judged["label_id"].implode())
        & ~pl.col("parent_label_id").is_in(unread.implode())
    )
    low = pl.concat([judged, by_rule]).filter(pl.col("score") < threshold).sort("label_id", "score")
    return low.unique("label_id", keep="first", maintain_order=True).select("label_id", "scorer", "score")


def rejections(low: pl.DataFrame, threshold: float, created_at: datetime) -> pl.DataFrame:
    """The reviews that take unfit labels out of force: rows of `label_reviews`."""
    rows = []
    for name, scorer, score in low.iter_rows():
        review = {
            "label_id": name,
            "reviewer": REVIEWER,
            "verdict": "reject",
            "proposed_label": None,
            "note": f"{scorer} {score:.3f} is under {threshold:g} on the new feature's examples",
        }
        review_id = content_id({**review, "created_at": created_at.isoformat()})
        rows.append({**review, "review_id": review_id, "created_at": created_at})
    return pl.DataFrame(rows, schema=LABEL_REVIEWS)


def _carried(
    parent: dict[str, object], match: dict[str, object], run_id: str, created_at: datetime
) -> dict[str, object]:
    prompt = canonical_json({"parent_label_id": parent["label_id"], "match": {name: match[name] for name in _MATCH}})
    sha256 = hashlib.sha256(prompt.encode()).hexdigest()
    feature_id, seed = str(match["feature_id"]), int(str(parent["seed"] or 0))
    kept = ("label", "explanation", "confidence", "labeler", "model")
    return {
        "label_id": label_id(feature_id, str(parent["labeler"]), str(parent["model"]), sha256, seed, 1),
        "feature_id": feature_id,
        "dictionary_id": match["dictionary_id"],
        "index": match["index"],
        **{name: parent[name] for name in kept},
        "model": str(parent["model"]),
        "prompt_version": PROMPT_VERSION,
        "prompt_sha256": sha256,
        "prompt": prompt,
        "seed": seed,
        "attempt": 1,
        "cost_usd": 0.0,
        "status": "ok",
        "origin": "carried",
        "parent_label_id": parent["label_id"],
        "run_id": run_id,
        "created_at": created_at,
    }


def _unread(places: list[dict[str, object]], previous_id: str, read: set[str]) -> list[str]:
    """Ids of the held-out examples in whose documents the writer of the old label read nothing.

    :param places: all examples of the new feature
    :param read: ids of the examples that the writer was shown; a person who wrote a label of their own was shown none
    """
    held_out = [place for place in places if place["use"] == "held_out"]
    if read:
        seen = {place["document_id"] for place in places if _id_at(previous_id, place) in read}
        held_out = [
            p for p in held_out if p["document_id"] not in seen and keeps_back(previous_id, str(p["document_id"]))
        ]
    return [str(place["example_id"]) for place in held_out]


def _id_at(feature_id: str, place: dict[str, object]) -> str:
    """Id that the example at the same place of another feature would have."""
    position, length = int(str(place["position"])), int(str(place["tokens"]))
    first = max(position - _RADIUS, 0)
    return content_id([feature_id, place["document_id"], position, first, first + length - 1])
