"""Gradients of the decoder's and encoder's rows, kept as the factors that they are products of.

The gradient of a sparse autoencoder's weights is a sum of (sparse codes)ᵀ × (dense rows). Nobody needs it whole: who
applies it forms it row by row.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sae.dictionaries.sparse import Prefixes, sums_by_feature
from sae.dictionaries.support import Support


@dataclass(frozen=True, eq=False)
class EntryGradients:
    """What active entries bring: Σ_e codes_e · towards[level of i, row_e], and Σ_e slopes_e · inputs[row_e]."""

    support: Support
    codes: Tensor
    """[m]: f at each entry."""
    slopes: Tensor
    """[m]: ∂L/∂(pre-activation) at each entry."""
    towards: Tensor
    """[P, n, d]: ∂L/∂x̂ for the latents of each nested prefix."""
    inputs: Tensor
    """[n, d]: what the encoder read."""
    prefixes: Prefixes


@dataclass(frozen=True, eq=False)
class AddedRows:
    """What is added to the gradients of some latents, as rows [len(latents), d]."""

    latents: Tensor
    """int64, ascending."""
    decoder: Tensor
    encoder: Tensor


def together(parts: Sequence[AddedRows]) -> AddedRows:
    """The sum of one or more, with the latents of any of them."""
    if len(parts) == 1:
        return parts[0]
    latents, places = torch.cat([part.latents for part in parts]).unique(return_inverse=True)
    decoder, encoder = (rows.new_zeros(len(latents), rows.shape[1]) for rows in (parts[0].decoder, parts[0].encoder))
    decoder.index_add_(0, places, torch.cat([part.decoder for part in parts]))
    encoder.index_add_(0, places, torch.cat([part.encoder for part in parts]))
    return AddedRows(latents, decoder, encoder)


@dataclass(frozen=True, eq=False)
class RowGradients:
    """The gradients of decoder and encoder [d_sae, d]: the sum of these parts."""

    entries: EntryGradients | None = None
    added: tuple[AddedRows, ...] = ()
    along: Tensor | None = None
    """[d_sae]: multiple of its own row that each decoder row's gradient has in it."""

    def dense(self, decoder: Tensor) -> tuple[Tensor, Tensor]:
        """Both gradients as matrices, in torch's operators, on any device."""
        to_decoder, to_encoder = torch.zeros_like(decoder), torch.zeros_like(decoder)
        if self.entries is not None:
            e = self.entries
            to_encoder += sums_by_feature(e.slopes, e.inputs, e.support)
            levels = e.prefixes.levels().to(decoder.device)
            for level, towards in enumerate(e.towards):
                to_decoder += sums_by_feature(e.codes, towards, e.support) * (levels == level)[:, None]
        for part in self.added:
            to_decoder[part.latents] += part.decoder
            to_encoder[part.latents] += part.encoder
        if self.along is not None:
            to_decoder += self.along[:, None] * decoder
        return to_decoder, to_encoder
