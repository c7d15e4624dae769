"""Which latents are active on which tokens."""

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Support:
    """Which of `d_sae` latents are active on each of n tokens: m entries, row after row."""

    offsets: Tensor
    """int64 [n + 1]: row r owns the entries offsets[r] to offsets[r + 1]."""
    features: Tensor
    """int64 [m]: the latent of each entry."""
    d_sae: int

    @staticmethod
    def from_rows(features: Tensor, d_sae: int) -> "Support":
        """From latents [n, k], k of them on every token."""
        n, k = features.shape
        offsets = torch.arange(0, n * k + 1, k, device=features.device)
        return Support(offsets, features.reshape(-1).long(), d_sae)

    @staticmethod
    def from_entries(rows: Tensor, features: Tensor, n: int, d_sae: int) -> "Support":
        """From the token and the latent [m] of each entry, in the order of the tokens."""
        return Support(offsets(torch.bincount(rows, minlength=n)), features.long(), d_sae)

    @staticmethod
    def from_mask(active: Tensor) -> "Support":
        """From a mask, bool [n, d_sae]."""
        return Support(offsets(active.sum(dim=1)), active.nonzero(as_tuple=True)[1], active.shape[1])

    def __len__(self) -> int:
        return len(self.features)

    @property
    def n(self) -> int:
        """Number of tokens."""
        return len(self.offsets) - 1

    @cached_property
    def rows(self) -> Tensor:
        """int64 [m]: the token of each entry."""
        return torch.repeat_interleave(torch.arange(self.n, device=self.offsets.device), self.offsets.diff())

    @cached_property
    def by_feature(self) -> Tensor:
        """int64 [m]: the entries in the order of their latents, rows ascending within each."""
        return torch.argsort(self.features, stable=True)

    @cached_property
    def feature_offsets(self) -> Tensor:
        """int64 [d_sae + 1]: the part of `by_feature` that belongs to each latent."""
        return offsets(torch.bincount(self.features, minlength=self.d_sae))


def offsets(counts: Tensor) -> Tensor:
    """Where each of consecutive runs of these lengths begins, and where the last ends."""
    return F.pad(counts.cumsum(0), (1, 0))
