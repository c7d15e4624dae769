"""How good a dictionary is, by the published definitions, each a pure function, and all of them in one pass."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from sae.dictionaries.dictionary import Dictionary
from sae.errors import AtlasError


@dataclass(frozen=True, eq=False)
class DictionaryMetrics:
    """A dictionary over n tokens; see the functions of this module for the definitions."""

    n_tokens: int
    fvu: float
    l0: float
    dead_fraction: float
    cosine: float
    relative_norm: float
    density: Tensor
    """float64 [d_sae]."""


def fvu(x: Tensor, reconstruction: Tensor) -> float:
    """Fraction of variance unexplained: Σ‖x − x̂‖² / Σ‖x − x̄‖², x̄ the mean over the evaluated tokens; [n, d].

    1 − FVU is the explained variance that Scaling Monosemanticity reports. NaN where all tokens are equal.
    """
    x, reconstruction = x.double(), reconstruction.double()
    return _ratio(float((x - reconstruction).square().sum()), float((x - x.mean(dim=0)).square().sum()))


def l0(codes: Tensor) -> float:
    """Mean number of active latents a token: Σ_t |{i: f_ti > 0}| / n, codes [n, d_sae]."""
    return float((codes > 0).sum()) / len(codes)


def density(codes: Tensor) -> Tensor:
    """Fraction of tokens on which each latent is active: |{t: f_ti > 0}| / n, float64 [d_sae]."""
    return (codes > 0).double().mean(dim=0)


def dead_fraction(codes: Tensor) -> float:
    """Fraction of latents that are active on no token of codes [n, d_sae].

    A figure of the sample as much as of the dictionary: say how many tokens it had (Scaling Monosemanticity: 10⁷).
    """
    return float((density(codes) == 0).double().mean())


def cosine(x: Tensor, reconstruction: Tensor) -> float:
    """Mean over tokens of x·x̂ / (‖x‖‖x̂‖); 0 where either is 0."""
    return float(torch.cosine_similarity(x.double(), reconstruction.double(), dim=1).mean())


def relative_norm(x: Tensor, reconstruction: Tensor) -> float:
    """Mean over tokens of ‖x̂‖ / ‖x‖: below 1 where the reconstruction shrinks. Tokens with x = 0 are left out."""
    norm = x.double().norm(dim=1)
    return float((reconstruction.double().norm(dim=1) / norm)[norm > 0].mean())


@torch.no_grad()
def evaluate(dictionary: Dictionary, batches: Iterable[Tensor]) -> DictionaryMetrics:
    """All of them over raw activations, float32 [≤ batch, d_in] at a time; memory is one batch's codes.

    Raises AtlasError where there is no token.
    """
    sums = _Sums(dictionary.d_in, dictionary.d_sae)
    for x in batches:
        codes = dictionary.encode(x)
        sums.add(x, codes, dictionary.decode(codes))
    return sums.metrics()


class _Sums:
    """Running sums of the metrics; the variance is merged batch by batch (Chan et al. 1979), which loses no digits."""

    def __init__(self, d_in: int, d_sae: int):
        self._n = 0
        self._mean = torch.zeros(d_in, dtype=torch.float64)
        self._variance = self._error = self._cosine = self._norms = 0.0
        self._n_norms = 0
        self._active = torch.zeros(d_sae, dtype=torch.int64)

    def add(self, x: Tensor, codes: Tensor, reconstruction: Tensor) -> None:
        """Count a batch: x and its reconstruction [n, d], codes [n, d_sae]."""
        if not len(x):
            return
        x, reconstruction = x.double().cpu(), reconstruction.double().cpu()
        n, mean = len(x), x.mean(dim=0)
        away = mean - self._mean
        total = self._n + n
        between = float(away.square().sum()) * self._n * n / total
        self._variance += float((x - mean).square().sum()) + between
        self._mean += away * n / total
        self._n = total
        self._error += float((x - reconstruction).square().sum())
        self._cosine += n * cosine(x, reconstruction)
        with_norm = int((x.norm(dim=1) > 0).sum())
        if with_norm:
            self._norms += with_norm * relative_norm(x, reconstruction)
            self._n_norms += with_norm
        self._active += (codes > 0).sum(dim=0).cpu()

    def metrics(self) -> DictionaryMetrics:
        """The means over all that was counted."""
        if not self._n:
            raise AtlasError("There is no held-out token to measure the dictionary on. Check the site's corpora.")
        return DictionaryMetrics(
            n_tokens=self._n,
            fvu=_ratio(self._error, self._variance),
            l0=float(self._active.sum()) / self._n,
            dead_fraction=float((self._active == 0).double().mean()),
            cosine=self._cosine / self._n,
            relative_norm=_ratio(self._norms, self._n_norms),
            density=self._active.double() / self._n,
        )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
