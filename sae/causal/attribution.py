"""Which features push the model towards its answer: attribution of a logit difference by one gradient.

Scaling Monosemanticity, "Features as computational intermediates": attr_i = f_i · (W_dec,i · ∇_x L), the first-order
effect on L of setting the feature to zero at its position, with L = logit(target) − logit(baseline) (see `Answer`).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sae.causal.passes import PromptPass
from sae.causal.residual import read_positions, take_apart
from sae.dictionaries.dictionary import Dictionary
from sae.errors import AtlasError

_TOLERANCE = 1e-3
"""How far the parts may be from the whole, as a share of the sum of their magnitudes: float32 rounding is far below."""


@dataclass(frozen=True, eq=False)
class Attribution:
    """The m active (position, feature) pairs of a prompt, the largest attribution first."""

    positions: Tensor
    """int64 [m]."""
    features: Tensor
    """int64 [m]."""
    activations: Tensor
    """float32 [m], in the dictionary's units."""
    attributions: Tensor
    """float32 [m], in logits; descending."""
    attributed: float
    """Sum of `attributions`."""
    bias_attribution: float
    """b_dec · ∇ summed over the positions that the dictionary reads."""
    error_attribution: float
    """error · ∇ summed over positions; where the dictionary does not read, all of x is error."""
    first_order: float
    """x · ∇ summed over positions: equal to `attributed` + `bias_attribution` + `error_attribution`."""

    @property
    def error_share(self) -> float:
        """The error's part of what features, bias and error carry, each by its magnitude; 0 where nothing carries."""
        error = abs(self.error_attribution)
        whole = abs(self.attributed) + abs(self.bias_attribution) + error
        return error / whole if whole else 0.0

    @property
    def miss(self) -> float:
        """How far the parts are from the first-order change, as a share of the sum of their magnitudes."""
        parts = (self.attributed, self.bias_attribution, self.error_attribution)
        whole = sum(map(abs, parts)) + abs(self.first_order)
        return abs(sum(parts) - self.first_order) / whole if whole else 0.0

    def __len__(self) -> int:
        return len(self.positions)

    def strongest(self, count: int) -> Tensor:
        """int64 [min(count, m)]: rows with the largest |attribution|, ascending."""
        order = torch.argsort(self.attributions.abs(), descending=True, stable=True)
        return order[:count].sort().values


def attribute(prompt: PromptPass, dictionary: Dictionary, massive_norm: float = math.inf) -> Attribution:
    """Attribute the prompt's logit difference to every feature that is active in it.

    The dictionary is applied where `read_positions` says so (`massive_norm` is its limit).
    Raises AtlasError when the parts do not add up to the first-order change x · ∇.
    """
    x, gradient = prompt.x, prompt.gradient
    dictionary = dictionary.to(x.device)
    residual = take_apart(dictionary, x, read_positions(prompt.encoded.special, x, massive_norm))
    decoder = dictionary.W_dec[residual.features].float()
    attributions = residual.activations * (decoder * gradient[residual.positions]).sum(dim=1)
    order = torch.argsort(attributions, descending=True, stable=True)
    found = Attribution(
        positions=residual.positions[order],
        features=residual.features[order],
        activations=residual.activations[order],
        attributions=attributions[order],
        attributed=float(attributions.double().sum()),
        bias_attribution=_product(dictionary.b_dec.float().expand_as(x)[residual.read], gradient[residual.read]),
        error_attribution=_product(residual.error, gradient),
        first_order=_product(x, gradient),
    )
    scale = float((x.double() * gradient.double()).abs().sum() + attributions.double().abs().sum())
    _check_sum(found, scale)
    return found


def _check_sum(found: Attribution, scale: float) -> None:
    parts = found.attributed + found.bias_attribution + found.error_attribution
    if not math.isfinite(parts) or abs(parts - found.first_order) > _TOLERANCE * max(scale, 1e-12):
        raise AtlasError(
            f"The attributions, bias and error sum to {parts:.6g}, the first-order change is {found.first_order:.6g}: "
            "the dictionary's decode is not W_dec · f + b_dec, or the activations are not finite."
        )


def _product(a: Tensor, b: Tensor) -> float:
    return float((a.double() * b.double()).sum())
