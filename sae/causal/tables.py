"""The catalog's frames `prompts`, `attribution_runs`, `attributions` and `steering`."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from torch import Tensor

from sae.causal.ablation import ablate
from sae.causal.attribution import Attribution, attribute
from sae.causal.correlation import spearman
from sae.causal.steering import Clamp, steer
from sae.config import PromptConfig
from sae.dictionaries.dictionary import Dictionary
from sae.errors import AtlasError
from sae.identity import canonical_json, content_id, feature_id
from sae.models.encoding import Encoded
from sae.models.subject import Subject, collate, logits

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
        "error_attribution": pl.Float64,
        "ablation_spearman": pl.Float64,
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
        "rank": pl.Int32,
    }
)
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
class ExplainedPrompt:
    """One prompt under one dictionary."""

    prompts: pl.DataFrame
    """One row; the same under every dictionary of the model."""
    attribution_runs: pl.DataFrame
    """One row; `n_features` counts the active (position, feature) pairs, `ablation_spearman` is over those ablated."""
    attributions: pl.DataFrame
    """All active pairs; rank 1 pushes hardest towards the target. `ablation_effect` is null where none was tried."""
    miss: float
    """How far attributions, bias and error are from the first-order change, as a share of the sum of their sizes."""


@dataclass(frozen=True)
class SteeredPrompts:
    """Prompts continued under clamped features."""

    prompts: pl.DataFrame
    """A row for each text, without target."""
    steering: pl.DataFrame


def explain_prompt(
    subject: Subject,
    hookpoint: str,
    dictionary: Dictionary,
    dictionary_id: str,
    prompt: PromptConfig,
    run_id: str,
    max_ablated: int = 50,
    massive_norm: float = math.inf,
) -> ExplainedPrompt:
    """Attribute a prompt's logit difference, and ablate the `max_ablated` features of largest |attribution|.

    Raises AtlasError when target and baseline begin with the same token.
    """
    encoded = subject.codec.encode(prompt.text)
    target_id, baseline_id = answer_ids(subject, prompt.target, prompt.baseline)
    found = attribute(subject, hookpoint, dictionary, encoded, target_id, baseline_id, massive_norm)
    chosen = found.strongest(max_ablated)
    effects = ablate(
        subject,
        hookpoint,
        dictionary,
        encoded,
        target_id,
        baseline_id,
        found.positions[chosen],
        found.features[chosen],
        found.activations[chosen],
    )
    sha256 = prompt_sha256(prompt)
    run = {
        "prompt_id": prompt.id,
        "dictionary_id": dictionary_id,
        "prompt_sha256": sha256,
        "logit_diff": found.logit_diff,
        "attributed": found.attributed,
        "error_attribution": found.error_attribution,
        "ablation_spearman": spearman(found.attributions[chosen].cpu().numpy(), effects.cpu().numpy()),
        "n_features": len(found),
        "run_id": run_id,
    }
    row = _prompt_row(subject, prompt.id, prompt.text, sha256, encoded, found.predicted_id) | {
        "target": prompt.target,
        "baseline": prompt.baseline,
        "logit_diff": found.logit_diff,
        "is_correct": found.is_correct,
    }
    parts = (found.attributed, found.bias_attribution, found.error_attribution)
    size = sum(map(abs, parts)) + abs(found.first_order)
    return ExplainedPrompt(
        miss=abs(sum(parts) - found.first_order) / size if size else 0.0,
        prompts=pl.DataFrame([row], schema=PROMPTS),
        attribution_runs=pl.DataFrame([run], schema=ATTRIBUTION_RUNS),
        attributions=_attribution_rows(prompt.id, dictionary_id, encoded, found, chosen, effects),
    )


def answer_ids(subject: Subject, target: str, baseline: str | None) -> tuple[int, int | None]:
    """First tokens of the two continuations. Raises AtlasError when they are the same."""
    target_id = subject.codec.first_token(target)
    baseline_id = None if baseline is None else subject.codec.first_token(baseline)
    if target_id == baseline_id:
        raise AtlasError(
            f"{target!r} and {baseline!r} begin with the same token of {subject.name}; take another baseline."
        )
    return target_id, baseline_id


def prompt_sha256(prompt: PromptConfig) -> str:
    """Hash of what is asked: text, target and baseline."""
    return _sha256({"text": prompt.text, "target": prompt.target, "baseline": prompt.baseline})


def steer_prompts(
    subject: Subject,
    hookpoint: str,
    dictionary: Dictionary,
    dictionary_id: str,
    texts: Sequence[str],
    clamps: Sequence[Clamp],
    new_tokens: int,
    massive_norm: float = math.inf,
) -> SteeredPrompts:
    """Continue every text under every clamp. A prompt's id is the hash of model and text."""
    prompts: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for text in texts:
        encoded = subject.codec.encode(text)
        prompt_id = content_id([subject.model_id, text])
        predicted = int(logits(subject, collate(subject, [encoded]))[0, -1].argmax())
        prompts.append(_prompt_row(subject, prompt_id, text, _sha256({"text": text}), encoded, predicted))
        rows += [
            {
                "feature_id": feature_id(dictionary_id, steered.clamp.feature),
                "dictionary_id": dictionary_id,
                "index": steered.clamp.feature,
                "prompt_id": prompt_id,
                "strength": float(steered.clamp.strength),
                "completion": steered.completion,
                "logit_shift": steered.logit_shift,
            }
            for steered in steer(subject, hookpoint, dictionary, encoded, clamps, new_tokens, massive_norm)
        ]
    steering = pl.DataFrame(rows, schema=STEERING).sort("dictionary_id", "index", "prompt_id", "strength")
    return SteeredPrompts(pl.DataFrame(prompts, schema=PROMPTS), steering)


def _prompt_row(
    subject: Subject, prompt_id: str, text: str, sha256: str, encoded: Encoded, predicted_id: int
) -> dict[str, Any]:
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


def _attribution_rows(
    prompt_id: str, dictionary_id: str, encoded: Encoded, found: Attribution, chosen: Tensor, effects: Tensor
) -> pl.DataFrame:
    effect_of = dict(zip(chosen.tolist(), effects.tolist(), strict=True))
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
            "rank": range(1, len(found) + 1),
        },
        schema=ATTRIBUTIONS,
    )


def _sha256(value: Any) -> str:
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
