"""What people say of labels: accept, reject, or rewrite one. Reviews are rows: the last one of a label counts.

A rewritten label is a new label by a person, with the one that it rewrites as its parent.
"""

import hashlib
from datetime import datetime
from typing import Literal, NamedTuple

import polars as pl

from sae.errors import AtlasError
from sae.identity import canonical_json, content_id
from sae.labels.current import current_labels
from sae.labels.ledger import Ledger
from sae.labels.reply import LONGEST_EXPLANATION, LONGEST_LABEL, bounded
from sae.labels.schema import LABEL_REVIEWS, LABELS, label_id

Verdict = Literal["accept", "reject", "rewrite"]
PROMPT_VERSION = "review-1"
_LONGEST_REVIEWER = 80


class Reviewed(NamedTuple):
    """What a review did."""

    review_id: str
    label_id: str
    """The label that was reviewed."""
    feature_id: str
    current: dict[str, object] | None
    """The row of `labels` that is in force for the feature now; None where it has none."""


def review_label(
    ledger: Ledger,
    label: str,
    verdict: Verdict,
    reviewer: str,
    created_at: datetime,
    *,
    proposed: str | None = None,
    explanation: str | None = None,
    note: str | None = None,
) -> Reviewed:
    """Write a review, and the new label where one is proposed.

    :param label: a label's id, or the beginning of one
    :param proposed: the text that a rewrite puts in the label's place
    :param explanation: the sentence that goes with it; none by default, for the parent's is not the reviewer's
    Raises AtlasError where no label or several are called so, where a text is empty or too long once cleaned, or where
    a label without a text is accepted or rejected.
    """
    parent = find_label(ledger, label)
    if (verdict == "rewrite") != (proposed is not None):
        raise AtlasError("A rewrite, and nothing else, comes with the text of the new label.")
    if parent["status"] != "ok" and verdict != "rewrite":
        raise AtlasError(f"{parent['label_id']} holds no label (it is {parent['status']}): it can only be rewritten.")
    who = _text("the reviewer's name", reviewer, _LONGEST_REVIEWER)
    review: dict[str, object] = {
        "label_id": parent["label_id"],
        "reviewer": who,
        "verdict": verdict,
        "proposed_label": None if proposed is None else _text("the label", proposed, LONGEST_LABEL),
        "note": None if note is None else _text("the note", note, LONGEST_EXPLANATION),
    }
    review["review_id"] = content_id({**review, "created_at": created_at.isoformat()})
    words = "" if explanation is None else _text("the explanation", explanation, LONGEST_EXPLANATION)
    rewritten = [_by_person(parent, review, words, created_at)] if verdict == "rewrite" else []
    ledger.append(
        labels=pl.DataFrame(rewritten, schema=LABELS),
        label_reviews=pl.DataFrame([{**review, "created_at": created_at}], schema=LABEL_REVIEWS),
    )
    feature_id = str(parent["feature_id"])
    of_feature = (ledger.labels_of(feature_id), ledger.reviews_of(feature_id), ledger.renewals_of(feature_id))
    current = current_labels(*of_feature).to_dicts()
    return Reviewed(str(review["review_id"]), str(parent["label_id"]), feature_id, current[0] if current else None)


def find_label(ledger: Ledger, name: str) -> dict[str, object]:
    """The row of the one label whose id is `name` or begins so. Raises AtlasError where there is none, or several."""
    found = ledger.labels_named(name) if name else pl.DataFrame(schema=LABELS)
    exact = found.filter(pl.col("label_id") == name)
    rows = (found if exact.is_empty() else exact).to_dicts()
    if not rows:
        raise AtlasError(f"No label {name!r}. `atlas feature ID` shows the id of a feature's label.")
    if len(rows) > 1:
        names = ", ".join(row["label_id"] for row in rows)
        raise AtlasError(f"Several labels begin with {name!r}: {names}. Give more of the id.")
    return rows[0]


def _by_person(
    parent: dict[str, object], review: dict[str, object], explanation: str, created_at: datetime
) -> dict[str, object]:
    feature_id, reviewer = str(parent["feature_id"]), str(review["reviewer"])
    # What the label is made from: the review, so that the same words proposed once more are another label.
    prompt = canonical_json({name: review[name] for name in ("review_id", "label_id", "proposed_label")})
    sha256 = hashlib.sha256(prompt.encode()).hexdigest()
    return {
        "label_id": label_id(feature_id, "human", reviewer, sha256, 0, 1),
        **{name: parent[name] for name in ("feature_id", "dictionary_id", "index")},
        "label": review["proposed_label"],
        "explanation": explanation,
        "labeler": "human",
        "model": reviewer,
        "prompt_version": PROMPT_VERSION,
        "prompt_sha256": sha256,
        "prompt": prompt,
        "seed": 0,
        "attempt": 1,
        "cost_usd": 0.0,
        "status": "ok",
        "origin": "human",
        "parent_label_id": parent["label_id"],
        "created_at": created_at,
    }


def _text(name: str, value: str, longest: int) -> str:
    try:
        return bounded(name, value, longest)
    except ValueError as fault:
        raise AtlasError(f"{str(fault)[:1].upper()}{str(fault)[1:]}.") from None
