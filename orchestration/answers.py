"""Questions asked of a model and a dictionary at once: what is active in a text, and why an answer came out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from orchestration.chains import sited
from orchestration.pinned import Pinned
from sae.catalog.frames import frame_schema
from sae.catalog.schema import TABLES
from sae.config import PromptConfig
from sae.errors import AtlasError
from sae.identity import feature_id

if TYPE_CHECKING:
    import numpy as np

    from sae.causal.graph import Graph
    from sae.causal.tables import ExplainedPrompt

ASKED = "asked"
"""Id of a question that is no part of the config."""
EDGE_TARGETS = 20
"""Features of a later site, by |attribution|, whose sources are looked for."""


def activations_of(pinned: Pinned, labels: dict[str, str], text: str, top: int) -> list[dict[str, Any]]:
    """The `top` strongest features at each position of a text, with their labels."""
    from sae.models.hookpoints import read_outputs
    from sae.models.subject import collate

    subject, hookpoint = pinned.subject(), pinned.manifest.hookpoint
    encoded = subject.codec.encode(text)
    if not len(encoded):
        raise AtlasError("The text is empty: give at least one token.")
    hidden = read_outputs(subject, collate(subject, [encoded]), [hookpoint])[hookpoint][0]
    dictionary = pinned.dictionary.to(subject.device)
    values, indices = dictionary.encode(hidden.float()).topk(min(top, dictionary.d_sae), dim=1)
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
    pinned: Pinned,
    labels: dict[str, str],
    text: str,
    target: str,
    baseline: str | None,
    top: int,
    image: "np.ndarray | None" = None,
) -> dict[str, Any]:
    """Attribution of `target` minus `baseline` after `text`, with the `top` features checked by ablation.

    `token_attributions` are sums over all features at each token, not over those listed alone.
    """
    found = _explained(pinned, text, target, baseline, top, image)
    ablated = found.attributions.filter(found.attributions["ablation_effect"].is_not_null())
    features = [
        {**row, "label": labels.get(row["feature_id"])}
        for row in ablated.sort("rank")
        .select(
            "rank", "position", "token", "feature_id", "activation", "attribution", "ablation_effect", "control_effect"
        )
        .to_dicts()
    ]
    run, asked = found.attribution_runs.row(0, named=True), found.prompts.row(0, named=True)
    numbers = {name: value for name, value in run.items() if isinstance(value, float) or value is None}
    at_tokens = [0.0] * len(asked["tokens"])
    for position, attribution in found.attributions.select("position", "attribution").iter_rows():
        at_tokens[position] += attribution
    return {
        "dictionary_id": pinned.dictionary_id,
        "text": text,
        "predicted": asked["predicted"],
        "is_correct": asked["is_correct"],
        "tokens": asked["tokens"],
        "token_attributions": at_tokens,
        **numbers,
        "n_features": run["n_features"],
        "features": features,
    }


def graph_of(
    chain: Sequence[Pinned],
    sites: Sequence[str],
    labels: dict[str, str],
    text: str,
    target: str,
    baseline: str | None,
    image: "np.ndarray | None" = None,
) -> "Graph":
    """The way to an answer through the dictionaries of some sites, the earliest first."""
    from sae.causal.edges import attribution_edges
    from sae.causal.graph import way_to_answer

    found = [_explained(pinned, text, target, baseline, 0, image) for pinned in chain]
    subject = chain[0].subject()
    encoded = subject.codec.encode(text, image)
    edges = [pl.DataFrame(schema=frame_schema(TABLES["attribution_edges"]))]
    for early, late, explained in zip(chain, chain[1:], found[1:], strict=False):
        strongest = explained.attributions.sort(pl.col("attribution").abs(), descending=True)
        targets = strongest.select("position", "index").head(EDGE_TARGETS).rows()
        edges.append(attribution_edges(subject, sited(early), sited(late), encoded, ASKED, targets))
    return way_to_answer(
        found[-1].prompts.row(0, named=True),
        [(site, pinned.dictionary_id) for site, pinned in zip(sites, chain, strict=True)],
        pl.concat([one.attributions for one in found]),
        pl.concat(edges),
        labels,
    )


def steered_text(
    pinned: Pinned,
    features: Sequence[tuple[int, float, float]],
    text: str,
    new_tokens: int,
    image: "np.ndarray | None" = None,
) -> dict[str, Any]:
    """What the model writes after `text` by itself, and with features held: (index, strength, maximum) of each."""
    from sae.causal.steering import Clamp, steer

    if not text.strip():
        raise AtlasError("The prompt is empty: give at least one token.")
    subject = pinned.subject()
    own, steered = steer(
        subject,
        pinned.manifest.hookpoint,
        pinned.dictionary,
        subject.codec.encode(text, image),
        [(), tuple(Clamp(*feature) for feature in features)],
        new_tokens,
        pinned.massive_norm,
    )
    return {
        "dictionary_id": pinned.dictionary_id,
        "text": text,
        "features": [
            {"feature_id": feature_id(pinned.dictionary_id, index), "strength": strength, "held_at": strength * maximum}
            for index, strength, maximum in features
        ],
        "unsteered": own.completion,
        "steered": steered.completion,
        "logit_shift": steered.logit_shift,
    }


def _explained(
    pinned: Pinned, text: str, target: str, baseline: str | None, top: int, image: "np.ndarray | None"
) -> "ExplainedPrompt":
    from sae.causal.tables import explain_prompt

    if not text.strip():
        raise AtlasError("The prompt is empty: give at least one token.")
    prompt = PromptConfig(id=ASKED, model=pinned.facts["model"]["name"], text=text, target=target, baseline=baseline)
    return explain_prompt(
        pinned.subject(),
        pinned.manifest.hookpoint,
        pinned.dictionary,
        pinned.dictionary_id,
        prompt,
        run_id="",
        seed=0,
        max_ablated=top,
        massive_norm=pinned.massive_norm,
        image=image,
    )
