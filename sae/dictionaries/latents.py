"""Latents whose number per token is free, so that a batch may have few or many: one set of formulas for both.

Young dictionaries of these kinds have half of their latents active, trained ones a hundredth. Below one in twelve only
the active ones are touched; above, matrix products are faster. Architectures write what happens at an entry, with
`at` for the parameters there, and need not know whether entries are a list or a matrix.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sae.dictionaries.choice import above
from sae.dictionaries.gradients import AddedRows, EntryGradients, RowGradients
from sae.dictionaries.sparse import Prefixes, Reconstruction, encode_at, reconstruct
from sae.dictionaries.step import any_of
from sae.dictionaries.support import Support

_DENSE_SHARE = 1 / 12
_TRIED_ROWS = 128


def open_latents(inputs: Tensor, encoder: Tensor, offset: Tensor, dtype: torch.dtype) -> "SparseLatents | DenseLatents":
    """The products encoder·x of `inputs` [n, d] where encoder·x + offset > 0; all of them, where those are many."""
    few = inputs[:_TRIED_ROWS]
    tried = torch.addmm(offset.to(dtype), few.to(dtype), encoder.T.to(dtype))
    if (tried > 0).float().mean() > _DENSE_SHARE:
        return DenseLatents((inputs.to(dtype) @ encoder.T.to(dtype)).float(), inputs, dtype)
    support = above(inputs, encoder, offset, dtype)
    return SparseLatents(encode_at(inputs, encoder, torch.zeros_like(offset), support), inputs, support)


@dataclass(frozen=True, eq=False)
class SparseLatents:
    """Entries as a list [m]."""

    products: Tensor
    inputs: Tensor
    support: Support

    def at(self, parameter: Tensor) -> Tensor:
        """The parameter [d_sae] of each entry's latent."""
        return parameter[self.support.features]

    def sums(self, values: Tensor) -> Tensor:
        """[d_sae]: the sum of each latent's entries."""
        return values.new_zeros(self.support.d_sae).index_add_(0, self.support.features, values)

    def fired(self, active: Tensor) -> Tensor:
        """bool [d_sae]: the latents with an active entry."""
        return any_of(self.support.features[active], self.support.d_sae)

    def reconstruct(self, codes: Tensor, decoder: Tensor, target: Tensor) -> Reconstruction:
        """As `sparse.reconstruct`, of one prefix."""
        return reconstruct(codes, decoder, self.support, target, self._all)

    def rows(self, codes: Tensor, slopes: Tensor, towards: Tensor, along: Tensor | None = None) -> RowGradients:
        """The weights' gradients: ∂L/∂(product) at each entry, ∂L/∂x̂ [n, d]."""
        entries = EntryGradients(self.support, codes, slopes, towards[None], self.inputs, self._all)
        return RowGradients(entries, along=along)

    @property
    def _all(self) -> Prefixes:
        return Prefixes((self.support.d_sae,), (1.0,))


@dataclass(frozen=True, eq=False)
class DenseLatents:
    """Entries as a matrix [n, d_sae]; the products among them run in `dtype`."""

    products: Tensor
    inputs: Tensor
    dtype: torch.dtype

    def at(self, parameter: Tensor) -> Tensor:
        """The parameter [d_sae], to be broadcast."""
        return parameter

    def sums(self, values: Tensor) -> Tensor:
        """[d_sae]: the sum of each latent's entries."""
        return values.sum(dim=0)

    def fired(self, active: Tensor) -> Tensor:
        """bool [d_sae]: the latents with an active entry."""
        return active.any(dim=0)

    def reconstruct(self, codes: Tensor, decoder: Tensor, target: Tensor) -> Reconstruction:
        """As `sparse.reconstruct`, of one prefix."""
        low = decoder.to(self.dtype)
        error = (codes.to(self.dtype) @ low).float() - target
        slopes = (error.to(self.dtype) @ low.T).float()
        return Reconstruction(error.square().sum()[None], error[None], slopes)

    def rows(self, codes: Tensor, slopes: Tensor, towards: Tensor, along: Tensor | None = None) -> RowGradients:
        """The weights' gradients: ∂L/∂(product) at each entry, ∂L/∂x̂ [n, d]."""
        to_decoder = codes.to(self.dtype).T @ towards.to(self.dtype)
        to_encoder = slopes.to(self.dtype).T @ self.inputs.to(self.dtype)
        every = torch.arange(codes.shape[1], device=codes.device)
        return RowGradients(added=AddedRows(every, to_decoder.float(), to_encoder.float()), along=along)
