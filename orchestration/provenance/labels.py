"""From a label back to what it was written from: label ← reply ← prompt, then the same of its parent."""

import hashlib
import json
import math
from collections.abc import Iterator
from typing import Any

from orchestration.provenance.link import Check, Link, same, unchecked
from orchestration.provenance.records import LedgerReader
from sae.catalog import Catalog
from sae.identity import canonical_json, content_id
from sae.labels.redaction import FORGOTTEN
from sae.labels.schema import label_id

_NO_LEDGER = "the state folder with the ledger is not here"
_UNSPELLED = "lexical-1"
"""The one version of a prompt whose hash covers more than its text: the examples' ids stand beside it."""
_READ = ("label", "explanation", "confidence")
_SHOWN = (*_READ, "labeler", "model", "seed", "temperature", "attempt", "status", "origin")


def label_links(catalog: Catalog, ledger: LedgerReader | None, name: str) -> Iterator[Link]:
    """The label, the reply that it was read from, and the prompt; then those of the label that it comes from."""
    published = catalog.sql("select * from labels where label_id = ?", [name]).to_dicts()
    kept = ledger.label(name) if ledger else None
    row = kept or published[0]
    yield Link("label", name, _facts(catalog, ledger, row), tuple(_label_checks(row, kept, published)))
    if row["labeler"] == "openai" and row["origin"] == "new":
        yield _reply(row, ledger)
    if row["origin"] == "human":
        yield _review(row, ledger)
    yield Link(
        "prompt", f"{row['prompt_version']}", {"sha256": row["prompt_sha256"], "text": row["prompt"]}, (_prompt(row),)
    )
    if parent := row["parent_label_id"]:
        known = (ledger.label(parent) if ledger else None) or catalog.sql(
            "select label_id from labels where label_id = ?", [parent]
        ).to_dicts()
        if known:
            yield from label_links(catalog, ledger, parent)
        else:
            yield Link("label", parent, {}, (unchecked("parent", "neither the ledger nor the catalog holds it"),))


def _facts(catalog: Catalog, ledger: LedgerReader | None, row: dict[str, Any]) -> dict[str, Any]:
    current = catalog.sql("select label_id from current_labels where feature_id = ?", [row["feature_id"]])
    said = ledger.reviews(row["label_id"]) if ledger else []
    scores = ledger.scores(row["label_id"]) if ledger else []
    return {
        "feature": row["feature_id"],
        **{name: row[name] for name in _SHOWN},
        "in_force": current["label_id"].to_list() == [row["label_id"]],
        "scores": {score["scorer"]: score["score"] for score in scores},
        "reviews": [f"{review['verdict']} by {review['reviewer']}" for review in said],
        "tokens": [row["input_tokens"], row["output_tokens"]] if row["input_tokens"] else None,
        "cost_usd": row["cost_usd"],
        "run": row["run_id"],
        "written": str(row["created_at"]),
    }


def _label_checks(row: dict[str, Any], kept: dict[str, Any] | None, published: list[dict[str, Any]]) -> Iterator[Check]:
    parts = ("feature_id", "labeler", "model", "prompt_sha256", "seed", "attempt")
    yield same("id, from what was asked of whom", label_id(*(row[part] for part in parts)), row["label_id"])
    yield same("feature id", f"{row['dictionary_id']}:{row['index']}", row["feature_id"])
    if kept is None:
        yield unchecked("ledger", _NO_LEDGER)
    elif published:
        there = {name: value for name, value in published[0].items() if name != "created_at"}
        yield same("catalog and ledger agree", there, {name: kept[name] for name in there})
    else:
        yield unchecked("catalog and ledger agree", "the catalog holds labels of current dictionaries only")


def _prompt(row: dict[str, Any]) -> Check:
    if row["prompt_version"] == _UNSPELLED:
        return unchecked("hash of the text", "its hash covers the examples' ids too, which its text leaves out")
    if row["prompt"] is None:
        return unchecked("hash of the text", "the text was not kept")
    return same("hash of the text", hashlib.sha256(row["prompt"].encode()).hexdigest(), row["prompt_sha256"])


def _reply(row: dict[str, Any], ledger: LedgerReader | None) -> Link:
    asked = [r for r in (ledger.requests(row["feature_id"]) if ledger else []) if _asks(r, row)]
    answered = next((request for request in asked if request["status"] not in (None, "failed")), None)
    facts = {"raw": row["raw_reply"]}
    checks = [_reading(row)]
    if not asked:
        why = "the ledger holds no such request: it was paid for by another question" if ledger else _NO_LEDGER
        return Link("reply", row["status"], facts, (*checks, unchecked("request", why)))
    first = asked[0]
    bodies = {r["request_sha256"]: hashlib.sha256(r["body"].encode()).hexdigest() for r in asked}
    checks.append(same("hash of the request", list(bodies.values()), list(bodies)))
    cost = math.fsum(r["reserved_usd"] if r["cost_usd"] is None else r["cost_usd"] for r in asked)
    checks.append(same("cost, over all sends", round(row["cost_usd"] or 0.0, 12), round(cost, 12)))
    if answered:
        checks.append(same("reply as it came", row["raw_reply"], answered["raw"]))
    facts |= {
        "request": first["request_sha256"],
        "server": first["base_url"],
        "model": first["model"],
        "sends": len(asked),
        "sent": first["sent_at"],
        "seconds": answered and answered["seconds"],
        "cost_usd": cost,
        "run": first["run_id"],
    }
    return Link("reply", row["status"], facts, tuple(checks))


def _asks(request: dict[str, Any], row: dict[str, Any]) -> bool:
    """Whether a request is the one that a label came from: its prompt, its model, its attempt's seed."""
    try:
        messages = canonical_json(json.loads(request["body"])["messages"])
    except (ValueError, LookupError, TypeError):
        return False
    seed = row["seed"] + row["attempt"] - 1
    return (messages, request["model"], request["seed"]) == (row["prompt"], row["model"], seed)


def _reading(row: dict[str, Any]) -> Check:
    """Whether the label is what the reply says."""
    from sae.labels.budget import FREE
    from sae.labels.chat import read_completion
    from sae.labels.reply import read_label

    what = "label, read from the reply"
    if row["raw_reply"] is None:
        return unchecked(what, f"no reply came ({row['status']})")
    ended = read_completion(row["raw_reply"], FREE, read_label)
    if ended.status != row["status"] or ended.status != "ok":
        return same(what, ended.status, row["status"])
    read = read_label(ended.text or "")
    return same(what, [read.label, read.explanation, read.confidence], [row[n] for n in _READ])


def _review(row: dict[str, Any], ledger: LedgerReader | None) -> Link:
    if ledger is None:
        return Link("review", row["model"], {}, (unchecked("review", _NO_LEDGER),))
    review_id = json.loads(row["prompt"])["review_id"]
    review = ledger.review(review_id)
    if review is None:
        return Link("review", review_id, {}, (Check("review", "MISMATCH", "the ledger does not hold it"),))
    if FORGOTTEN in (review["note"], review["proposed_label"]):
        return Link("review", review_id, {}, (unchecked("review", "its words were taken out on request"),))
    said = {name: review[name] for name in ("label_id", "reviewer", "verdict", "proposed_label", "note")}
    moment = review["created_at"].removesuffix("Z") + "+00:00"
    moment = moment.replace(".000000", "")
    checks = (
        same("id, from what was said", content_id({**said, "created_at": moment}), review_id),
        same("label, as proposed", row["label"], review["proposed_label"]),
    )
    return Link("review", review_id, {**said, "said": review["created_at"]}, checks)
