"""The residual stream taken apart and put together again: x = b_dec + sum of features + error, exactly.

Scaling Monosemanticity, "Features as computational intermediates": interventions change features and leave the
dictionary's reconstruction error as it is, so that what is not changed stays what the model had.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sae.dictionaries.dictionary import Dictionary


@dataclass(frozen=True, eq=False)
class Residual:
    """One document's residual stream in terms of a dictionary: m active features over t positions."""

    read: Tensor
    """bool [t]: where the dictionary is applied; elsewhere all of x is error."""
    positions: Tensor
    """int64 [m], ascending."""
    features: Tensor
    """int64 [m], ascending within a position."""
    activations: Tensor
    """float32 [m], positive."""
    error: Tensor
    """float32 [t, d]: x minus the reconstruction."""


def read_positions(special: np.ndarray, x: Tensor, massive_norm: float = math.inf) -> Tensor:
    """bool [t]: positions that are neither special tokens nor massive activations, the ones dictionaries learn from.

    `massive_norm` is the L2 norm above which a position of x [t, d] counts as massive: that of the activation set.
    """
    return ~torch.from_numpy(special).to(x.device) & (x.float().norm(dim=-1) <= massive_norm)


def take_apart(dictionary: Dictionary, x: Tensor, read: Tensor) -> Residual:
    """Features and error of x [t, d] with `read` bool [t]."""
    x = x.detach().float()
    codes = dictionary.encode(x) * read[:, None]
    reconstruction = dictionary.decode(codes) * read[:, None]
    positions, features = codes.nonzero(as_tuple=True)
    return Residual(read, positions, features, codes[positions, features], x - reconstruction)
