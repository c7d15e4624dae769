"""The residual stream taken apart and put together again: x = b_dec + sum of features + error, exactly.

Scaling Monosemanticity, "Features as computational intermediates": interventions change features and leave the
dictionary's reconstruction error as it is, so that what is not changed stays what the model had.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sae.dictionaries.dictionary import Dictionary
from sae.errors import AtlasError
from sae.models.encoding import Encoded
from sae.models.hookpoints import hook_module, replaced_output
from sae.models.subject import Subject, collate, logits


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


def single_call(subject: Subject, hookpoint: str, replace: Callable[[Tensor], Tensor], encoded: Encoded) -> Tensor:
    """Logits [b, v] at the last position of one document whose hookpoint output [1, t, d] became `replace` of it.

    `replace` may return more rows than one, [b, t, d]: what comes before the hookpoint is then computed once for all
    of them. Raises AtlasError when a pass calls the hookpoint's module never or more than once.
    """
    calls = 0

    def counted(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return replace(x)

    with replaced_output(hook_module(subject, hookpoint), counted):
        scores = logits(subject, collate(subject, [encoded]))
    if calls != 1:
        raise AtlasError(
            f"A pass of {subject.name} calls {hookpoint} {calls} times; interventions need one that is called once."
        )
    return scores[:, -1]


def logit_difference(scores: Tensor, target_id: int, baseline_id: int | None) -> Tensor:
    """Target logit minus baseline logit of scores [..., v], as [...]; minus the mean logit where baseline is None."""
    scores = scores.float()
    baseline = scores.mean(dim=-1) if baseline_id is None else scores[..., baseline_id]
    return scores[..., target_id] - baseline
