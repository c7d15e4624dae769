"""The catalog's frame `steering`, and among `interventions` what sets of features held at once make of a text."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import polars as pl

from sae.causal.interventions import INTERVENTIONS
from sae.causal.steering import Clamp, Steered, steer
from sae.causal.tables import PROMPTS, prompt_row, text_sha256
from sae.dictionaries.dictionary import Dictionary
from sae.identity import content_id, feature_id
from sae.models.subject import Subject, collate, logits

STEERING = pl.Schema(
    {
        "feature_id": pl.String,
        "dictionary_id": pl.String,
        "index": pl.Int32,
        "prompt_id": pl.String,
        "strength": pl.Float64,
        "completion": pl.String,
        "logit_shift": pl.Float64,
    }
)


@dataclass(frozen=True)
class SteeredPrompts:
    """Prompts continued under clamped features."""

    prompts: pl.DataFrame
    """A row for each text, without target."""
    steering: pl.DataFrame
    """A row for each text and each clamp of one feature."""
    interventions: pl.DataFrame
    """Two rows for each text and each clamp of several features: itself and its control."""


def steer_prompts(
    subject: Subject,
    hookpoint: str,
    dictionary: Dictionary,
    dictionary_id: str,
    texts: Sequence[str],
    settings: Sequence[Sequence[Clamp]],
    new_tokens: int,
    seed: int,
    massive_norm: float = math.inf,
) -> SteeredPrompts:
    """Continue every text under every setting of one or several clamps. A prompt's id is the hash of model and text.

    The control of several features holds as many others, drawn by `seed`, with which the residual stream moves as far.
    """
    dictionary = dictionary.to(subject.device)
    rng = Random(seed)
    several = [tuple(setting) for setting in settings if len(setting) > 1 and all(c.strength for c in setting)]
    controls = [_random(dictionary, setting, rng) for setting in several]
    single = [tuple(setting) for setting in settings if len(setting) == 1]
    prompts: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    interventions: list[dict[str, Any]] = []
    for text in texts:
        encoded = subject.codec.encode(text)
        prompt_id = content_id([subject.model_id, text])
        predicted = int(logits(subject, collate(subject, [encoded]))[0, -1].argmax())
        prompts.append(prompt_row(subject, prompt_id, text, text_sha256({"text": text}), encoded, predicted))
        made = steer(subject, hookpoint, dictionary, encoded, [*single, *several, *controls], new_tokens, massive_norm)
        rows += [_steering_row(dictionary_id, prompt_id, one) for one in made[: len(single)]]
        interventions += [
            _intervention_row(subject, dictionary_id, prompt_id, predicted, one, is_control=number >= len(several))
            for number, one in enumerate(made[len(single) :])
        ]
    steering = pl.DataFrame(rows, schema=STEERING).sort("dictionary_id", "index", "prompt_id", "strength")
    return SteeredPrompts(
        pl.DataFrame(prompts, schema=PROMPTS), steering, pl.DataFrame(interventions, schema=INTERVENTIONS)
    )


def _steering_row(dictionary_id: str, prompt_id: str, steered: Steered) -> dict[str, Any]:
    (clamp,) = steered.clamps
    return {
        "feature_id": feature_id(dictionary_id, clamp.feature),
        "dictionary_id": dictionary_id,
        "index": clamp.feature,
        "prompt_id": prompt_id,
        "strength": float(clamp.strength),
        "completion": steered.completion,
        "logit_shift": steered.logit_shift,
    }


def _intervention_row(
    subject: Subject, dictionary_id: str, prompt_id: str, predicted: int, steered: Steered, is_control: bool
) -> dict[str, Any]:
    held = [feature_id(dictionary_id, clamp.feature) for clamp in steered.clamps]
    return {
        "prompt_id": prompt_id,
        "dictionary_id": dictionary_id,
        "kind": "steer",
        "feature_ids": held,
        "put_in": held,
        "strength": float(steered.clamps[0].strength),
        "is_control": is_control,
        "predicted_before": subject.codec.token(predicted),
        "predicted_after": subject.codec.token(steered.token_ids[0]),
        "logit_diff_before": None,
        "logit_diff_after": None,
        "completion": steered.completion,
    }


def _random(dictionary: Dictionary, setting: Sequence[Clamp], rng: Random) -> tuple[Clamp, ...]:
    """As many other features, each held where its decoder row adds as much."""
    own = {clamp.feature for clamp in setting}
    others = [feature for feature in range(dictionary.d_sae) if feature not in own]
    norms = dictionary.W_dec.float().norm(dim=1)
    return tuple(
        replace(
            clamp, feature=drawn, maximum=clamp.maximum * float(norms[clamp.feature] / norms[drawn].clamp_min(1e-12))
        )
        for clamp, drawn in zip(setting, rng.sample(others, len(setting)), strict=True)
    )
