"""Which features act on which later ones: edges from an earlier site's features to a later site's, on one prompt.

The first-order effect of feature i at position p of the earlier site on the activation a of feature j at position q of
the later one: w = f_i · (W_dec,i · ∇_{x_p} a_j,q), as the attribution of a logit (Scaling Monosemanticity, "Features as
computational intermediates") with a feature's activation in the logit's place.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
    batch_tokens: int = 1024,
) -> pl.DataFrame:
    """The `strongest` edges by magnitude into each (position, feature) of `targets` at the later site, as `EDGES`.

    A row of a pass for each target, as many as fit into `batch_tokens` positions; what lies before the earlier site is
    read once for all of them. Sources stand at the target's position or before it. Targets that are not active have no
    edge.
    """
    early, late = (replace(one, dictionary=one.dictionary.to(subject.device)) for one in (early, late))
    rows: list[tuple[str, str, int, str, int, float]] = []
    size = max(1, batch_tokens // len(encoded))
    for start in range(0, len(targets), size):
        part = targets[start : start + size]
        x, gradients = _gradients(subject, early, late, encoded, part)
        sources = take_apart(early.dictionary, x, read_positions(encoded.special, x, early.massive_norm))
        decoder = early.dictionary.W_dec[sources.features].float()
        for (position, feature), gradient in zip(part, gradients, strict=True):
            weights = sources.activations * (decoder * gradient[sources.positions]).sum(dim=1)
            weights = weights * (sources.positions <= position)
            target = feature_id(late.dictionary_id, feature)
            for edge in torch.argsort(weights.abs(), descending=True, stable=True)[:strongest].tolist():
                if weights[edge]:
                    source = feature_id(early.dictionary_id, int(sources.features[edge]))
                    at = int(sources.positions[edge])
                    rows.append((prompt_id, source, at, target, position, float(weights[edge])))
    return pl.DataFrame(rows, schema=EDGES, orient="row")


def _gradients(
    subject: Subject,
    early: SitedDictionary,
    late: SitedDictionary,
    encoded: Encoded,
    targets: Sequence[tuple[int, int]],
) -> tuple[Tensor, Tensor]:
    """x [t, d] of the earlier site, and the gradient to it of each target's activation, float32 [n, t, d].

    0 for targets that are not active, or that stand where the later dictionary does not read.
    """
    leaves: list[Tensor] = []

    def leaf(x: Tensor) -> Tensor:
        leaves.append(x.detach().expand(len(targets), -1, -1).clone().requires_grad_(True))
        return leaves[-1]

    positions, features = (torch.tensor(column, device=subject.device) for column in zip(*targets, strict=True))
    each = torch.arange(len(targets), device=subject.device)
    with torch.enable_grad(), replaced_output(hook_module(subject, early.hookpoint), leaf):
        hidden = read_outputs(subject, collate(subject, [encoded]), [late.hookpoint])[late.hookpoint]
        read = read_positions(encoded.special, hidden[0].detach(), late.massive_norm)
        activations = late.dictionary.encode(hidden[each, positions].float())[each, features]
        total = (activations * read[positions]).sum()
        if not total.requires_grad:
            return leaves[0][0].detach().float(), torch.zeros_like(leaves[0]).float()
        (gradients,) = torch.autograd.grad(total, leaves[0])
    return leaves[0][0].detach().float(), gradients.float()
