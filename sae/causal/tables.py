"""The catalog's frames `prompts`, `attribution_runs`, `attributions`, and the ablations among `interventions`."""

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from sae.causal.ablation import ablate, ablate_random
from sae.causal.answer import answer_of
from sae.causal.attribution import Attribution, attribute
from sae.causal.correlation import spearman
from sae.causal.exchange import Exchange
from sae.causal.interventions import Intervention, intervene
from sae.causal.passes import PromptPass, read_prompt
from sae.config import PromptConfig
from sae.dictionaries.dictionary import Dictionary
from sae.identity import canonical_json, feature_id
from sae.models.encoding import Encoded
from sae.models.subject import Subject

PROMPTS = pl.Schema(
    {
        "prompt_id": pl.String,
        "model_id": pl.String,
        "text": pl.String,
        "prompt_sha256": pl.String,
        "target": pl.String,
        "baseline": pl.String,
        "tokens": pl.List(pl.String),
        "logit_diff": pl.Float64,
        "predicted": pl.String,
        "is_correct": pl.Boolean,
    }
)
ATTRIBUTION_RUNS = pl.Schema(
    {
        "prompt_id": pl.String,
        "dictionary_id": pl.String,
        "prompt_sha256": pl.String,
        "logit_diff": pl.Float64,
        "attributed": pl.Float64,
        "bias_attribution": pl.Float64,
        "error_attribution": pl.Float64,
        "first_order": pl.Float64,
        "error_share": pl.Float64,
        "ablation_spearman": pl.Float64,
        "control_spearman": pl.Float64,
        "ablation_effect": pl.Float64,
        "control_effect": pl.Float64,
        "n_features": pl.Int32,
        "run_id": pl.String,
    }
)
ATTRIBUTIONS = pl.Schema(
    {
        "prompt_id": pl.String,
        "dictionary_id": pl.String,
        "feature_id": pl.String,
        "index": pl.Int32,
        "position": pl.Int32,
        "token": pl.String,
        "activation": pl.Float64,
        "attribution": pl.Float64,
        "ablation_effect": pl.Float64,
        "control_effect": pl.Float64,
        "rank": pl.Int32,
    }
)
TAKEN_OUT = 10
"""Features of largest |attribution| over all positions that are taken out of the whole prompt."""


@dataclass(frozen=True)
class ExplainedPrompt:
    """One prompt under one dictionary."""

    prompts: pl.DataFrame
    """One row; the same under every dictionary of the model."""
    attribution_runs: pl.DataFrame
    """One row; `n_features` counts the active (position, feature) pairs, the correlations and mean effects are over
    those ablated."""
    attributions: pl.DataFrame
    """All active pairs; rank 1 pushes hardest towards the target. The effects are null where none was tried."""
    interventions: pl.DataFrame
    """The strongest features, each taken out wherever it is active, and their controls."""
    miss: float
    """How far attributions, bias and error are from the first-order change, as a share of the sum of their sizes."""


def explain_prompt(
    subject: Subject,
    hookpoint: str,
    dictionary: Dictionary,
    dictionary_id: str,
    prompt: PromptConfig,
    run_id: str,
    seed: int,
    max_ablated: int = 50,
    massive_norm: float = math.inf,
    image: np.ndarray | None = None,
) -> ExplainedPrompt:
    """Attribute a prompt's logit difference, and ablate the `max_ablated` pairs of largest |attribution|.

    `seed` draws the controls. Raises AtlasError when target and baseline are the same tokens.
    """
    dictionary = dictionary.to(subject.device)
    encoded = subject.codec.encode(prompt.text, image)
    read = read_prompt(subject, hookpoint, encoded, answer_of(subject, prompt.target, prompt.baseline))
    found = attribute(read, dictionary, massive_norm)
    chosen = found.strongest(max_ablated)
    pairs = (found.positions[chosen], found.features[chosen], found.activations[chosen])
    effects, controls = ablate(read, dictionary, *pairs), ablate_random(read, dictionary, *pairs, seed=seed)
    attributed = found.attributions[chosen].cpu().numpy()
    sha256 = prompt_sha256(prompt)
    run = {
        "prompt_id": prompt.id,
        "dictionary_id": dictionary_id,
        "prompt_sha256": sha256,
        "logit_diff": read.difference,
        "attributed": found.attributed,
        "bias_attribution": found.bias_attribution,
        "error_attribution": found.error_attribution,
        "first_order": found.first_order,
        "error_share": found.error_share,
        "ablation_spearman": spearman(attributed, effects.cpu().numpy()),
        "control_spearman": spearman(attributed, controls.cpu().numpy()),
        "ablation_effect": _mean_size(effects),
        "control_effect": _mean_size(controls),
        "n_features": len(found),
        "run_id": run_id,
    }
    row = prompt_row(subject, prompt.id, prompt.text, sha256, encoded, read.predicted_id) | {
        "target": prompt.target,
        "baseline": prompt.baseline,
        "logit_diff": read.difference,
        "is_correct": read.is_correct,
    }
    planned = [Intervention("ablate", Exchange(out=frozenset({feature}))) for feature in _carriers(found)]
    return ExplainedPrompt(
        prompts=pl.DataFrame([row], schema=PROMPTS),
        attribution_runs=pl.DataFrame([run], schema=ATTRIBUTION_RUNS),
        attributions=_attribution_rows(prompt.id, dictionary_id, encoded, found, chosen, effects, controls),
        interventions=intervene(read, prompt.id, dictionary, dictionary_id, planned, seed, massive_norm),
        miss=found.miss,
    )


def read_config_prompt(subject: Subject, hookpoint: str, prompt: PromptConfig) -> PromptPass:
    """A prompt of the config, read once. Raises AtlasError when target and baseline are the same tokens."""
    answer = answer_of(subject, prompt.target, prompt.baseline)
    return read_prompt(subject, hookpoint, subject.codec.encode(prompt.text), answer)


def prompt_sha256(prompt: PromptConfig) -> str:
    """Hash of what is asked: text, target and baseline."""
    return text_sha256({"text": prompt.text, "target": prompt.target, "baseline": prompt.baseline})


def text_sha256(value: Any) -> str:
    """SHA-256 of a JSON value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def prompt_row(
    subject: Subject, prompt_id: str, text: str, sha256: str, encoded: Encoded, predicted_id: int
) -> dict[str, Any]:
    """A row of `prompts` that asks for no answer."""
    return {
        "prompt_id": prompt_id,
        "model_id": subject.model_id,
        "text": text,
        "prompt_sha256": sha256,
        "target": None,
        "baseline": None,
        "tokens": encoded.tokens,
        "logit_diff": None,
        "predicted": subject.codec.token(predicted_id),
        "is_correct": None,
    }


def _carriers(found: Attribution) -> list[int]:
    """The `TAKEN_OUT` features of largest |attribution| over all positions."""
    features, place = torch.unique(found.features, return_inverse=True)
    total = found.attributions.new_zeros(len(features)).index_add_(0, place, found.attributions)
    return features[torch.argsort(total.abs(), descending=True, stable=True)[:TAKEN_OUT]].tolist()


def _attribution_rows(
    prompt_id: str,
    dictionary_id: str,
    encoded: Encoded,
    found: Attribution,
    chosen: Tensor,
    effects: Tensor,
    controls: Tensor,
) -> pl.DataFrame:
    effect_of, control_of = (dict(zip(chosen.tolist(), e.tolist(), strict=True)) for e in (effects, controls))
    positions, features = found.positions.tolist(), found.features.tolist()
    return pl.DataFrame(
        {
            "prompt_id": [prompt_id] * len(found),
            "dictionary_id": [dictionary_id] * len(found),
            "feature_id": [feature_id(dictionary_id, index) for index in features],
            "index": features,
            "position": positions,
            "token": [encoded.tokens[position] for position in positions],
            "activation": found.activations.tolist(),
            "attribution": found.attributions.tolist(),
            "ablation_effect": [effect_of.get(row) for row in range(len(found))],
            "control_effect": [control_of.get(row) for row in range(len(found))],
            "rank": range(1, len(found) + 1),
        },
        schema=ATTRIBUTIONS,
    )


def _mean_size(effects: Tensor) -> float | None:
    return float(effects.abs().mean()) if len(effects) else None
