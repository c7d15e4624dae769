"""The products of a sparse autoencoder, computed only where latents are active.

With k of d_sae latents active on a token, all products but the one that finds them touch k rows of the weights
instead of d_sae. On the CPU each is a compiled loop; elsewhere an `embedding_bag`, a weighted sum of chosen rows.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sae.dictionaries import sparse_kernels
from sae.dictionaries.compiled import over_parts
from sae.dictionaries.support import Support


class Reconstruction(NamedTuple):
    """What comes of decoding: errors e_p = Σ_{i < stop_p} f_i W_dec,i − target of P nested prefixes, and back."""

    squared: Tensor
    """[P]: Σ‖e_p‖² over the batch."""
    towards: Tensor
    """[P, n, d]: Σ_{q ≥ p} w_q e_q, the direction in which latents of prefix p and no smaller one feel the loss."""
    slopes: Tensor
    """Like the codes: their latent's decoder row times its direction in `towards`."""


@dataclass(frozen=True, eq=False)
class Prefixes:
    """Nested prefixes of the latents: ends, ascending to d_sae, and the weight of each one's squared error."""

    stops: tuple[int, ...]
    weights: tuple[float, ...]

    def levels(self) -> Tensor:
        """int64 [d_sae]: the first prefix that holds each latent."""
        sizes = torch.tensor(self.stops).diff(prepend=torch.zeros(1, dtype=torch.int64))
        return torch.repeat_interleave(torch.arange(len(self.stops)), sizes)


def encode_at(x: Tensor, encoder: Tensor, bias: Tensor, support: Support) -> Tensor:
    """Pre-activations [m] at the support's entries: x [n, d], encoder [d_sae, d], bias [d_sae]."""
    if x.device.type != "cpu":
        return encode_at_torch(x, encoder, bias, support)
    out = torch.empty(len(support))
    over_parts(support.n, sparse_kernels.products, *_arrays(x, encoder, support.offsets, support.features, out))
    return out.add_(bias[support.features])


def reconstruct(codes: Tensor, decoder: Tensor, support: Support, target: Tensor, prefixes: Prefixes) -> Reconstruction:
    """Decode the codes [m], compare with the target [n, d], take the gradient back to the codes.

    With several prefixes the entries of a row must be in the order of their latents.
    """
    if target.device.type != "cpu":
        return reconstruct_torch(codes, decoder, support, target, prefixes)
    n, d = target.shape
    count = len(prefixes.stops)
    squared, towards, slopes = torch.empty(n, count), torch.empty(count, n, d), torch.empty(len(support))
    stops, weights = np.array(prefixes.stops), np.array(prefixes.weights, np.float32)
    given = _arrays(codes, decoder, support.offsets, support.features, target)
    over_parts(n, sparse_kernels.reconstruct, *given, stops, weights, *_arrays(squared, towards, slopes))
    return Reconstruction(squared.sum(dim=0), towards, slopes)


def encode_at_torch(x: Tensor, encoder: Tensor, bias: Tensor, support: Support) -> Tensor:
    """`encode_at` in torch's operators, on any device."""
    return _products(x, encoder, support) + bias[support.features]


def reconstruct_torch(
    codes: Tensor, decoder: Tensor, support: Support, target: Tensor, prefixes: Prefixes
) -> Reconstruction:
    """`reconstruct` in torch's operators, on any device."""
    levels = prefixes.levels().to(target.device)[support.features]
    errors, error = [], -target
    for prefix in range(len(prefixes.stops)):
        here = codes * (levels == prefix) if len(prefixes.stops) > 1 else codes
        error = error + _bag(support.features, decoder, support.offsets, here)
        errors.append(error)
    towards = torch.stack([weight * error for weight, error in zip(prefixes.weights, errors, strict=True)])
    towards = towards.flip(0).cumsum(0).flip(0)
    slopes = torch.zeros_like(codes)
    for prefix, direction in enumerate(towards):
        slopes = torch.where(levels == prefix, _products(direction, decoder, support), slopes)
    return Reconstruction(torch.stack([error.square().sum() for error in errors]), towards, slopes)


def sums_by_feature(values: Tensor, x: Tensor, support: Support) -> Tensor:
    """[d_sae, d]: for each latent, the sum of its entries' values times their tokens' rows of `x` [n, d]."""
    order = support.by_feature
    return _bag(support.rows[order], x, support.feature_offsets, values[order])


def _products(x: Tensor, weights: Tensor, support: Support) -> Tensor:
    """[m]: x_row · weights_feature at each entry, which is the gradient of a bag's sum by its entries' weights."""
    with torch.enable_grad():
        entries = torch.ones(len(support), dtype=weights.dtype, device=weights.device, requires_grad=True)
        total = _bag(support.features, weights.detach(), support.offsets, entries)
        return torch.autograd.grad(total, entries, x.detach())[0]


def _bag(rows: Tensor, matrix: Tensor, offsets: Tensor, values: Tensor) -> Tensor:
    return F.embedding_bag(rows, matrix, offsets, mode="sum", per_sample_weights=values, include_last_offset=True)


def _arrays(*tensors: Tensor) -> list[np.ndarray]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]
