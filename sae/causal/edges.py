"""Which features act on which later ones: edges from an earlier site's features to a later site's, on one prompt.

The first-order effect of feature i at position p of the earlier site on the activation a of feature j at position q of
the later one: w = f_i · (W_dec,i · ∇_{x_p} a_j,q), as the attribution of a logit (Scaling Monosemanticity, "Features as
computational intermediates") with a feature's activation in the logit's place.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
import torch
from torch import Tensor

from sae.causal.residual import read_positions, take_apart
from sae.dictionaries.dictionary import Dictionary
from sae.identity import feature_id
from sae.models.encoding import Encoded
from sae.models.hookpoints import hook_module, read_outputs, replaced_output
from sae.models.subject import Subject, collate

EDGES = pl.Schema(
    {
        "prompt_id": pl.String,
        "source_feature_id": pl.String,
        "source_position": pl.Int32,
        "target_feature_id": pl.String,
        "target_position": pl.Int32,
        "weight": pl.Float64,
    }
)


@dataclass(frozen=True)
class SitedDictionary:
    """A dictionary where it reads."""

    dictionary_id: str
    dictionary: Dictionary
    hookpoint: str
    massive_norm: float
    """L2 norm above which a position counts as massive and is not read."""


def attribution_edges(
    subject: Subject,
    early: SitedDictionary,
    late: SitedDictionary,
    encoded: Encoded,
    prompt_id: str,
    targets: Sequence[tuple[int, int]],
    strongest: int = 5,
) -> pl.DataFrame:
    """The `strongest` edges by magnitude into each (position, feature) of `targets` at the later site, as `EDGES`.

    One forward pass, and one backward pass a target. Targets that are not active have no edge.
    """
    leaves: list[Tensor] = []

    def leaf(x: Tensor) -> Tensor:
        leaves.append(x.detach().requires_grad_(True))
        return leaves[-1]

    with torch.enable_grad(), replaced_output(hook_module(subject, early.hookpoint), leaf):
        hidden = read_outputs(subject, collate(subject, [encoded]), [late.hookpoint])[late.hookpoint][0]
        activations = late.dictionary.encode(hidden.float())
    x = leaves[0][0].detach().float()
    sources = take_apart(early.dictionary, x, read_positions(encoded.special, x, early.massive_norm))
    decoder = early.dictionary.W_dec[sources.features].float()
    rows: list[tuple[str, str, int, str, int, float]] = []
    for position, feature in targets:
        if activations[position, feature] <= 0:
            continue
        (gradient,) = torch.autograd.grad(activations[position, feature], leaves[0], retain_graph=True)
        weights = sources.activations * (decoder * gradient[0].float()[sources.positions]).sum(dim=1)
        for edge in torch.argsort(weights.abs(), descending=True, stable=True)[:strongest].tolist():
            source = feature_id(early.dictionary_id, int(sources.features[edge]))
            target = feature_id(late.dictionary_id, feature)
            rows.append((prompt_id, source, int(sources.positions[edge]), target, position, float(weights[edge])))
    return pl.DataFrame(rows, schema=EDGES, orient="row")
