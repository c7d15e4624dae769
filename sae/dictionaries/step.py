"""What training is made of, whatever the architecture.

An architecture is a module over normalised activations with `step`, `dictionary` and `unit_rows`, whether its method
holds decoder rows at norm 1. Both weights are kept as one row a latent, encoder and decoder [d_sae, d], so that sparse
products read whole rows. Gradients are written out by hand, since they are products with sparse codes, and tested
against automatic differentiation of the dense formulas.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from sae.dictionaries.dictionary import Dictionary
from sae.dictionaries.gradients import RowGradients


@dataclass(frozen=True, eq=False)
class Step:
    """What an architecture makes of one batch [n, d]."""

    loss: Tensor
    """Scalar."""
    fvu: Tensor
    """Scalar: fraction of the batch's variance unexplained."""
    fired: Tensor
    """bool [d_sae]: latents active on at least one token."""
    l0: Tensor
    """Scalar: active latents a token."""
    rows: RowGradients
    """Gradients of decoder and encoder."""
    others: dict[str, Tensor]
    """Gradients of all other parameters, by name."""


class Architecture(nn.Module, ABC):
    """A sparse autoencoder in training. Its parameters need no autograd: `step` gives their gradients."""

    unit_rows: ClassVar[bool]
    """Whether decoder rows keep norm 1."""
    rates: ClassVar[Mapping[str, float]] = {}
    """Parameters besides the rows that learn at another multiple of the learning rate than 1."""
    decoder: Tensor
    encoder: Tensor
    b_enc: Tensor
    b_dec: Tensor

    def _trained(self, **tensors: Tensor) -> None:
        for name, tensor in tensors.items():
            self.register_parameter(name, nn.Parameter(tensor.detach().clone().contiguous(), requires_grad=False))

    def begin(self, x: Tensor) -> None:
        """Start what an architecture starts from data, the first batch x [n, d]: here nothing."""

    def take_up(self, dictionary: Dictionary) -> None:
        """Start where a training ended: the inverse of `dictionary`, of the same architecture and shape."""
        self.encoder.copy_(dictionary.W_enc.T)
        self.decoder.copy_(dictionary.W_dec)
        self.b_enc.copy_(dictionary.b_enc)
        self.b_dec.copy_(dictionary.b_dec)

    @abstractmethod
    def step(self, x: Tensor, dead: Tensor, progress: float) -> Step:
        """Loss and gradients of a batch x [n, d]: `dead` bool [d_sae], `progress` from 0 to 1 over the training."""

    @abstractmethod
    def dictionary(self) -> Dictionary:
        """The inference form, over normalised activations."""


def ramp(progress: float, warmup: float) -> float:
    """Factor on a sparsity term that rises to 1 over the first `warmup` of the training."""
    return min(1.0, progress / warmup) if warmup else 1.0


def any_of(support_features: Tensor, d_sae: int) -> Tensor:
    """bool [d_sae]: the latents that occur."""
    fired = torch.zeros(d_sae, dtype=torch.bool, device=support_features.device)
    fired[support_features] = True
    return fired
