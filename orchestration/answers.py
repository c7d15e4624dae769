"""Questions asked of a model and a dictionary at once: what is active in a text, and why an answer came out."""

from typing import Any

from orchestration.pinned import Pinned
from sae.config import PromptConfig
from sae.errors import AtlasError
from sae.identity import feature_id


def activations_of(pinned: Pinned, labels: dict[str, str], text: str, top: int) -> list[dict[str, Any]]:
    """The `top` strongest features at each position of a text, with their labels."""
    from sae.models.hookpoints import read_outputs
    from sae.models.subject import collate

    subject, hookpoint = pinned.subject(), pinned.manifest.hookpoint
    encoded = subject.codec.encode(text)
    if not len(encoded):
        raise AtlasError("The text is empty: give at least one token.")
    hidden = read_outputs(subject, collate(subject, [encoded]), [hookpoint])[hookpoint][0]
    values, indices = pinned.dictionary.encode(hidden.float()).topk(min(top, pinned.dictionary.d_sae), dim=1)
    rows = []
    for position, token in enumerate(encoded.tokens):
        if encoded.special[position]:
            continue  # Special tokens are left out of training: a dictionary says nothing about them.
        for value, index in zip(values[position].tolist(), indices[position].tolist(), strict=True):
            if value > 0:
                name = feature_id(pinned.dictionary_id, index)
                rows.append(
                    {
                        "position": position,
                        "token": token,
                        "feature_id": name,
                        "activation": value,
                        "label": labels.get(name),
                    }
                )
    return rows


def explanation_of(
    pinned: Pinned, labels: dict[str, str], text: str, target: str, baseline: str | None, top: int
) -> dict[str, Any]:
    """Attribution of `target` minus `baseline` after `text`, with the `top` features checked by ablation."""
    from sae.causal.tables import explain_prompt

    if not text.strip():
        raise AtlasError("The prompt is empty: give at least one token.")
    prompt = PromptConfig(id="asked", model=pinned.facts["model"]["name"], text=text, target=target, baseline=baseline)
    found = explain_prompt(
        pinned.subject(),
        pinned.manifest.hookpoint,
        pinned.dictionary,
        pinned.dictionary_id,
        prompt,
        run_id="",
        seed=0,
        max_ablated=top,
        massive_norm=pinned.massive_norm,
    )
    ablated = found.attributions.filter(found.attributions["ablation_effect"].is_not_null())
    features = [
        {**row, "label": labels.get(row["feature_id"])}
        for row in ablated.sort("rank")
        .select("rank", "position", "token", "feature_id", "activation", "attribution", "ablation_effect")
        .to_dicts()
    ]
    run, asked = found.attribution_runs.row(0, named=True), found.prompts.row(0, named=True)
    return {
        "dictionary_id": pinned.dictionary_id,
        "text": text,
        "predicted": asked["predicted"],
        "is_correct": asked["is_correct"],
        "logit_diff": run["logit_diff"],
        "error_attribution": run["error_attribution"],
        "ablation_spearman": run["ablation_spearman"],
        "features": features,
    }
