"""Where training starts from."""

import torch
import torch.nn.functional as F
from torch import Tensor

_TOLERANCE = 1e-6
_MOST_STEPS = 100


def unit_rows(d_sae: int, d_in: int, seed: int) -> Tensor:
    """Random directions [d_sae, d_in], uniform on the sphere."""
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(d_sae, d_in, generator=generator), dim=1)


def geometric_median(points: Tensor) -> Tensor:
    """The point [d] with the least sum of distances to `points` [n, d] (Towards Monosemanticity, "Pre-encoder bias").

    Weiszfeld's iteration from the mean, each point weighted by the inverse of its distance.
    """
    median = points.mean(dim=0)
    for _ in range(_MOST_STEPS):
        weights = 1 / (points - median).norm(dim=1).clamp_min(torch.finfo(points.dtype).eps)
        nearer = (weights @ points) / weights.sum()
        moved = (nearer - median).norm()
        median = nearer
        if moved <= _TOLERANCE * median.norm():
            break
    return median
