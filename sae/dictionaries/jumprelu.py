"""The JumpReLU sparse autoencoder, with a learnt threshold for each latent."""

import math

import torch
from torch import Tensor

from sae.dictionaries.dictionary import Dictionary
from sae.dictionaries.latents import DenseLatents, Entries, SparseLatents, over_latents
from sae.dictionaries.losses import total_variance
from sae.dictionaries.step import Architecture, Step, ramp


class JumpReLUSAE(Architecture):
    """z = W_enc(x − b_dec) + b_enc, f = z ⊙ H(z − θ), x̂ = b_dec + Σ f_i W_dec,i; L = E[‖x − x̂‖² + λ Σ H(z_i − θ_i)].

    Rajamanoharan et al. 2024, "Jumping ahead: improving reconstruction fidelity with JumpReLU sparse autoencoders",
    §3 and §4. H is a step: θ > 0 learns through the straight-through estimates of the paper's equations 11 and 12,
    ∂f/∂θ ≈ −(θ/ε) K((z − θ)/ε) and ∂H/∂θ ≈ −(1/ε) K((z − θ)/ε), K the rectangle over (−½, ½) and ε the bandwidth;
    z gets the gradient of the reconstruction alone, where f is active. log θ is the parameter, which Adam moves by at
    most the learning rate a step: short runs want a high one. θ starts at ε, so that the window lies above 0; λ rises
    over the first steps.
    """

    unit_rows = True
    log_threshold: Tensor

    def __init__(
        self,
        directions: Tensor,
        centre: Tensor,
        l0: float,
        bandwidth: float,
        warmup: float,
        encoder_norm: float,
        dtype: torch.dtype,
    ):
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
        self._bandwidth = bandwidth
        self._warmup = warmup
        self._dtype = dtype

    def step(self, x: Tensor, dead: Tensor, progress: float) -> Step:
        """Loss and gradients of a batch x [n, d]; `dead` has no part in it."""
        del dead
        n = len(x)
        weight = self._l0 * ramp(progress, self._warmup)
        centred = x - self.b_dec
        threshold = self.log_threshold.exp()
        offset = self.b_enc - (threshold - self._bandwidth / 2).clamp_min(0)

        def formulas(latents: SparseLatents | DenseLatents, target: Tensor) -> Entries:
            z = latents.products + latents.at(self.b_enc)
            beyond = z - latents.at(threshold)
            active = beyond > 0
            codes = z * active
            made = latents.reconstruct(codes, self.decoder, target)
            to_codes = made.slopes * (2 / n)
            in_window = beyond.abs_() < self._bandwidth / 2
            slopes = to_codes * active
            return Entries(
                loss=(made.squared[0] + weight * active.sum()) / n,
                squared_error=made.squared[0],
                codes=codes,
                slopes=slopes,
                towards=made.towards[0] * (2 / n),
                sums={
                    "b_enc": latents.sums(slopes),
                    "threshold": latents.sums((to_codes * latents.at(threshold) + weight / n) * in_window),
                },
            )

        batch = over_latents(centred, centred, self.encoder, offset, self._dtype, formulas)
        b_enc = batch.sums["b_enc"]
        return Step(
            loss=batch.loss,
            fvu=batch.squared_error / total_variance(x),
            fired=batch.fired,
            l0=batch.l0,
            rows=batch.rows,
            others={
                "b_enc": b_enc,
                "b_dec": batch.towards - b_enc @ self.encoder,
                "log_threshold": -batch.sums["threshold"] * threshold / self._bandwidth,
            },
        )

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
