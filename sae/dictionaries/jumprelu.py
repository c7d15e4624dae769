"""The JumpReLU sparse autoencoder, with a learnt threshold for each latent."""

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from sae.dictionaries.dictionary import Dictionary
from sae.dictionaries.latents import DenseLatents, Entries, SparseLatents, over_latents
from sae.dictionaries.losses import total_variance
from sae.dictionaries.step import Architecture, Step, ramp

_START_SHARE = 1 / 8
"""Of the input's dimensions: active latents a token at the start where no number of them is aimed at."""
_START_LATENTS = 1024


class JumpReLUSAE(Architecture):
    """z = W_enc(x − b_dec) + b_enc, f = z ⊙ H(z − θ), x̂ = b_dec + Σ f_i W_dec,i; L = E[‖x − x̂‖² + λ Σ H(z_i − θ_i)].

    Rajamanoharan et al. 2024, "Jumping ahead: improving reconstruction fidelity with JumpReLU sparse autoencoders",
    §3 and §4. H is a step: θ > 0 learns through the straight-through estimates of the paper's equations 11 and 12,
    ∂f/∂θ ≈ −(θ/ε) K((z − θ)/ε) and ∂H/∂θ ≈ −(1/ε) K((z − θ)/ε), K the rectangle over (−½, ½) and ε the bandwidth;
    z gets the gradient of the reconstruction alone, where f is active. λ rises over the first steps.

    With a target T in place of λ, L = Σ‖x − x̂‖² / Σ‖x − x̄‖² + (L0/T − 1)², L0 the batch's active latents a token: the
    form of the paper's appendix on aiming at a sparsity, its error divided by the batch's variance so that no weight
    has to be found.

    The paper starts all θ just above 0 and lets billions of tokens raise them. Here each θ starts where the first batch
    makes its latent as active as the others, T of them a token, or d/8; and since log θ, the parameter, moves by about
    the learning rate a step, its rate is ten times that of the rest.
    """

    unit_rows = True
    rates: ClassVar[Mapping[str, float]] = {"log_threshold": 10.0}
    log_threshold: Tensor

    def __init__(
        self,
        directions: Tensor,
        centre: Tensor,
        l0: float,
        target: float | None,
        bandwidth: float,
        warmup: float,
        encoder_norm: float,
        dtype: torch.dtype,
    ):
        """`target` replaces the weight `l0` and its `warmup`."""
        super().__init__()
        zero = directions.new_zeros(len(directions))
        self._trained(
            decoder=directions,
            encoder=encoder_norm * directions,
            b_enc=zero,
            b_dec=centre,
            log_threshold=zero + math.log(bandwidth),
        )
        self._l0 = l0
        self._target = target
        self._bandwidth = bandwidth
        self._warmup = warmup
        self._dtype = dtype

    def begin(self, x: Tensor) -> None:
        """Start each θ where its latent is active on its share of the first batch x [n, d], one token at least."""
        (n, d), d_sae = x.shape, len(self.encoder)
        wanted = _START_SHARE * d if self._target is None else self._target
        active = min(n, max(1, round(n * wanted / d_sae)))
        centred = x - self.b_dec
        for start in range(0, d_sae, _START_LATENTS):
            some = slice(start, start + _START_LATENTS)
            z = torch.addmm(self.b_enc[some], centred, self.encoder[some].T)
            edge = z.topk(min(n, active + 1), dim=0).values[-2:].mean(dim=0)
            self.log_threshold[some] = edge.clamp_min(torch.finfo(z.dtype).eps).log()

    def step(self, x: Tensor, dead: Tensor, progress: float) -> Step:
        """Loss and gradients of a batch x [n, d]; `dead` has no part in it."""
        del dead
        n, variance = len(x), total_variance(x)
        per_error = 1 / n if self._target is None else 1 / variance
        centred = x - self.b_dec
        threshold = self.log_threshold.exp()
        offset = self.b_enc - (threshold - self._bandwidth / 2).clamp_min(0)

        def formulas(latents: SparseLatents | DenseLatents, target: Tensor) -> Entries:
            z = latents.products + latents.at(self.b_enc)
            beyond = z - latents.at(threshold)
            active = beyond > 0
            codes = z * active
            made = latents.reconstruct(codes, self.decoder, target)
            to_codes = made.slopes * (2 * per_error)
            in_window = beyond.abs_() < self._bandwidth / 2
            slopes = to_codes * active
            return Entries(
                loss=made.squared[0] * per_error,
                squared_error=made.squared[0],
                codes=codes,
                slopes=slopes,
                towards=made.towards[0] * (2 * per_error),
                sums={
                    "b_enc": latents.sums(slopes),
                    "at_edge": latents.sums(to_codes * in_window),
                    "in_window": latents.sums(in_window.float()),
                },
            )

        batch = over_latents(centred, centred, self.encoder, offset, self._dtype, formulas)
        penalty, weight = self._sparsity(batch.l0, progress)
        b_enc = batch.sums["b_enc"]
        to_threshold = batch.sums["at_edge"] * threshold + weight / n * batch.sums["in_window"]
        return Step(
            loss=batch.loss + penalty,
            fvu=batch.squared_error / variance,
            fired=batch.fired,
            l0=batch.l0,
            rows=batch.rows,
            others={
                "b_enc": b_enc,
                "b_dec": batch.towards - b_enc @ self.encoder,
                "log_threshold": -to_threshold * threshold / self._bandwidth,
            },
        )

    def _sparsity(self, l0: Tensor, progress: float) -> tuple[Tensor, Tensor | float]:
        """The loss's term of L0, and its slope."""
        if self._target is None:
            weight = self._l0 * ramp(progress, self._warmup)
            return weight * l0, weight
        beyond = l0 / self._target - 1
        return beyond.square(), 2 * beyond / self._target

    def take_up(self, dictionary: Dictionary) -> None:
        """As `Architecture.take_up`."""
        assert dictionary.threshold is not None
        super().take_up(dictionary)
        self.log_threshold.copy_(dictionary.threshold.clamp_min(torch.finfo(torch.float32).tiny).log())

    def dictionary(self) -> Dictionary:
        """The inference form, over normalised activations."""
        return Dictionary(
            W_enc=self.encoder.T,
            b_enc=self.b_enc,
            W_dec=self.decoder,
            b_dec=self.b_dec,
            form="jumprelu",
            threshold=self.log_threshold.exp(),
        )
