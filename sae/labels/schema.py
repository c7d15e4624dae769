"""Columns of the four tables of labels, as the ledger keeps them and the catalog shows them."""

import polars as pl

from sae.identity import content_id

_TIME = pl.Datetime("us", "UTC")

LABELS = pl.Schema(
    {
        "label_id": pl.String,
        "feature_id": pl.String,
        "dictionary_id": pl.String,
        "index": pl.Int32,
        "label": pl.String,
        "explanation": pl.String,
        "confidence": pl.Float64,
        "labeler": pl.String,
        "model": pl.String,
        "prompt_version": pl.String,
        "prompt_sha256": pl.String,
        "prompt": pl.String,
        "seed": pl.Int64,
        "temperature": pl.Float64,
        "attempt": pl.Int32,
        "input_tokens": pl.Int64,
        "output_tokens": pl.Int64,
        "cost_usd": pl.Float64,
        "raw_reply": pl.String,
        "status": pl.String,
        "origin": pl.String,
        "parent_label_id": pl.String,
        "run_id": pl.String,
        "created_at": _TIME,
    }
)

LABEL_EXAMPLES = pl.Schema({"label_id": pl.String, "example_id": pl.String, "use": pl.String})

LABEL_SCORES = pl.Schema(
    {
        "label_id": pl.String,
        "scorer": pl.String,
        "score": pl.Float64,
        "n": pl.Int64,
        "details": pl.String,
        "model": pl.String,
        "seed": pl.Int64,
        "run_id": pl.String,
        "created_at": _TIME,
    }
)

LABEL_REVIEWS = pl.Schema(
    {
        "review_id": pl.String,
        "label_id": pl.String,
        "reviewer": pl.String,
        "verdict": pl.String,
        "proposed_label": pl.String,
        "note": pl.String,
        "created_at": _TIME,
    }
)

LABEL_RENEWALS = pl.Schema(
    {"label_id": pl.String, "renewal": pl.Int32, "run_id": pl.String, "renewed_at": _TIME},
)


def label_id(feature_id: str, labeler: str, model: str, prompt_sha256: str, seed: int, attempt: int) -> str:
    """A label's name: what was asked of whom, so that the same question is never asked twice."""
    return content_id([feature_id, labeler, model, prompt_sha256, seed, attempt])
