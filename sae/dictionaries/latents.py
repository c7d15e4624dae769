"""Latents whose number per token is free, so that a batch may have few or many: one set of formulas for both.

Young dictionaries of these kinds have half of their latents active, trained ones a hundredth. Below one in twelve only
the active ones are touched; above, matrix products are faster, a few hundred tokens at a time so that what happens
between them stays in the cache. An architecture writes what happens at an entry, with `at` for the parameters there,
and need not know whether entries are a list or a matrix.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sae.dictionaries.choice import above
from sae.dictionaries.gradients import AddedRows, EntryGradients, RowGradients
from sae.dictionaries.sparse import Prefixes, Reconstruction, encode_at, reconstruct
from sae.dictionaries.step import any_of
from sae.dictionaries.support import Support

_DENSE_SHARE = 1 / 12
_BLOCK_ROWS = 256


@dataclass(frozen=True, eq=False)
class Entries:
    """What an architecture's formulas make of the latents of some tokens."""

    loss: Tensor
    """Scalar: these tokens' share of the loss."""
    squared_error: Tensor
    """Scalar: Σ‖x − x̂‖²."""
    codes: Tensor
    """f at each entry."""
    slopes: Tensor
    """∂L/∂(encoder·x) at each entry."""
    towards: Tensor
    """[n, d]: ∂L/∂x̂."""
    sums: dict[str, Tensor]
    """What adds up over tokens: gradients of parameters [d_sae], and whatever else the architecture wants."""


@dataclass(frozen=True, eq=False)
class Batch:
    """The same of a whole batch, its entries already turned into the weights' gradients."""

    loss: Tensor
    squared_error: Tensor
    fired: Tensor
    """bool [d_sae]."""
    l0: Tensor
    towards: Tensor
    """[d]: ∂L/∂x̂, summed over tokens."""
    sums: dict[str, Tensor]
    rows: RowGradients


def over_latents(
    inputs: Tensor,
    target: Tensor,
    encoder: Tensor,
    offset: Tensor,
    dtype: torch.dtype,
    formulas: Callable[["SparseLatents | DenseLatents", Tensor], Entries],
) -> Batch:
    """The `formulas` of (latents, target) where encoder·x + offset > 0, or everywhere where that is often the case.

    `inputs` [n, d] is what the encoder reads, `target` [n, d] what the decoder is to make; dense products run
    in `dtype`.
    """
    few = inputs[:_BLOCK_ROWS]
    tried = torch.addmm(offset.to(dtype), few.to(dtype), encoder.T.to(dtype))
    if (tried > 0).float().mean() > _DENSE_SHARE:
        return _dense(inputs, target, encoder, dtype, formulas)
    support = above(inputs, encoder, offset, dtype)
    latents = SparseLatents(encode_at(inputs, encoder, torch.zeros_like(offset), support), support)
    made = formulas(latents, target)
    active = made.codes > 0
    return Batch(
        loss=made.loss,
        squared_error=made.squared_error,
        fired=any_of(support.features[active], support.d_sae),
        l0=active.sum() / len(inputs),
        towards=made.towards.sum(dim=0),
        sums=made.sums,
        rows=RowGradients(
            EntryGradients(support, made.codes, made.slopes, made.towards[None], inputs, latents.prefixes)
        ),
    )


@dataclass(frozen=True, eq=False)
class SparseLatents:
    """Entries as a list [m]."""

    products: Tensor
    """encoder·x."""
    support: Support

    def at(self, parameter: Tensor) -> Tensor:
        """The parameter [d_sae] of each entry's latent."""
        return parameter[self.support.features]

    def sums(self, values: Tensor) -> Tensor:
        """[d_sae]: the sum of each latent's entries."""
        return values.new_zeros(self.support.d_sae).index_add_(0, self.support.features, values)

    def reconstruct(self, codes: Tensor, decoder: Tensor, target: Tensor) -> Reconstruction:
        """As `sparse.reconstruct`, of one prefix."""
        return reconstruct(codes, decoder, self.support, target, self.prefixes)

    @property
    def prefixes(self) -> Prefixes:
        """The one that holds all latents."""
        return Prefixes((self.support.d_sae,), (1.0,))


@dataclass(frozen=True, eq=False)
class DenseLatents:
    """Entries as a matrix [n, d_sae]; the products among them run in `dtype`."""

    products: Tensor
    """encoder·x."""
    dtype: torch.dtype

    def at(self, parameter: Tensor) -> Tensor:
        """The parameter [d_sae], to be broadcast."""
        return parameter

    def sums(self, values: Tensor) -> Tensor:
        """[d_sae]: the sum of each latent's entries."""
        return values.sum(dim=0)

    def reconstruct(self, codes: Tensor, decoder: Tensor, target: Tensor) -> Reconstruction:
        """As `sparse.reconstruct`, of one prefix."""
        low = decoder.to(self.dtype)
        error = (codes.to(self.dtype) @ low).float() - target
        slopes = (error.to(self.dtype) @ low.T).float()
        return Reconstruction(error.square().sum()[None], error[None], slopes)


def _dense(
    inputs: Tensor,
    target: Tensor,
    encoder: Tensor,
    dtype: torch.dtype,
    formulas: Callable[["SparseLatents | DenseLatents", Tensor], Entries],
) -> Batch:
    n, d_sae = len(inputs), len(encoder)
    low_inputs, low_encoder = inputs.to(dtype), encoder.T.to(dtype)
    codes, slopes = (torch.empty(n, d_sae, dtype=dtype, device=inputs.device) for _ in range(2))
    towards = torch.empty_like(inputs)
    fired = torch.zeros(d_sae, dtype=torch.bool, device=inputs.device)
    loss, squared_error, n_active = (inputs.new_zeros(()) for _ in range(3))
    sums: dict[str, Tensor] = {}
    for start in range(0, n, _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        made = formulas(DenseLatents((low_inputs[block] @ low_encoder).float(), dtype), target[block])
        codes[block], slopes[block], towards[block] = made.codes, made.slopes, made.towards
        active = made.codes > 0
        fired |= active.any(dim=0)
        loss, squared_error, n_active = loss + made.loss, squared_error + made.squared_error, n_active + active.sum()
        sums = {name: sums[name] + part if sums else part for name, part in made.sums.items()}
    to_decoder, to_encoder = codes.T @ towards.to(dtype), slopes.T @ low_inputs
    every = torch.arange(d_sae, device=inputs.device)
    return Batch(
        loss=loss,
        squared_error=squared_error,
        fired=fired,
        l0=n_active / n,
        towards=towards.sum(dim=0),
        sums=sums,
        rows=RowGradients(added=(AddedRows(every, to_decoder.float(), to_encoder.float()),)),
    )
