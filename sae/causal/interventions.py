"""The catalog's frame `interventions`: what a prompt is answered when features are changed, beside controls."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from sae.causal.exchange import Exchange, exchange
from sae.causal.passes import Outcomes, PromptPass
from sae.dictionaries.dictionary import Dictionary
from sae.identity import feature_id

INTERVENTIONS = pl.Schema(
    {
        "prompt_id": pl.String,
        "dictionary_id": pl.String,
        "kind": pl.String,
        "feature_ids": pl.List(pl.String),
        "put_in": pl.List(pl.String),
        "strength": pl.Float64,
        "is_control": pl.Boolean,
        "predicted_before": pl.String,
        "predicted_after": pl.String,
        "logit_diff_before": pl.Float64,
        "logit_diff_after": pl.Float64,
        "completion": pl.String,
    }
)
Kind = Literal["ablate", "swap", "steer"]


@dataclass(frozen=True)
class Intervention:
    """A change that is planned."""

    kind: Kind
    exchange: Exchange
    strength: float | None = None
    """Multiple of its maximal activation at which each feature is put in; None where none is."""


def intervene(
    read: PromptPass,
    prompt_id: str,
    dictionary: Dictionary,
    dictionary_id: str,
    planned: Sequence[Intervention],
    seed: int,
    massive_norm: float = math.inf,
) -> pl.DataFrame:
    """Two rows of `interventions` for each change: itself, and its control along random features, drawn by `seed`."""
    if not planned:
        return pl.DataFrame(schema=INTERVENTIONS)
    made = exchange(read, dictionary, [one.exchange for one in planned], seed, massive_norm)

    def row(one: Intervention, number: int, outcomes: Outcomes, changed: Sequence[int], put: Sequence[int]) -> Any:
        return {
            "prompt_id": prompt_id,
            "dictionary_id": dictionary_id,
            "kind": one.kind,
            "feature_ids": [feature_id(dictionary_id, feature) for feature in changed],
            "put_in": [feature_id(dictionary_id, feature) for feature in put],
            "strength": one.strength,
            "is_control": outcomes is made.control,
            "predicted_before": read.subject.codec.token(read.predicted_id),
            "predicted_after": read.subject.codec.token(int(outcomes.predicted[number])),
            "logit_diff_before": read.difference,
            "logit_diff_after": float(outcomes.differences[number]),
            "completion": None,
        }

    rows = []
    for number, one in enumerate(planned):
        put = sorted(one.exchange.put)
        out = sorted(one.exchange.out - one.exchange.put.keys())
        rows.append(row(one, number, made.after, [*out, *put], put))
        rows.append(row(one, number, made.control, made.drawn[number], made.drawn[number] if put else ()))
    return pl.DataFrame(rows, schema=INTERVENTIONS)
