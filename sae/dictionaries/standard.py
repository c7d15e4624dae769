"""The ReLU sparse autoencoders with an L1 penalty: Scaling Monosemanticity's, and that of unit decoder rows."""

from dataclasses import replace

import torch
from torch import Tensor

from sae.dictionaries.dictionary import Dictionary
from sae.dictionaries.latents import DenseLatents, Entries, SparseLatents, over_latents
from sae.dictionaries.losses import total_variance
from sae.dictionaries.step import Architecture, Step, ramp

_START_NORM = 0.1


class StandardSAE(Architecture):
    """f = ReLU(W_enc x + b_enc), x̂ = b_dec + Σ f_i W_dec,i; L = E[‖x − x̂‖² + λ Σ f_i‖W_dec,i‖₂].

    Templeton et al. 2024, "Scaling Monosemanticity", "Sparse autoencoders"; the recipe is the April 2024 update's:
    decoder rows start at norm 0.1, the encoder as their transpose, and λ rises over the first steps.
    Rows have no fixed norm: the loss weighs codes by it. Where the update starts biases at 0, b_dec starts at the
    centre of the data and b_enc takes the same centre off the pre-activations: short runs would spend themselves on
    learning the mean.
    """

    unit_rows = False

    def __init__(self, directions: Tensor, centre: Tensor, l1: float, warmup: float, dtype: torch.dtype):
        super().__init__()
        start = _START_NORM * directions
        self._trained(decoder=start, encoder=start, b_enc=-start @ centre, b_dec=centre)
        self._l1 = l1
        self._warmup = warmup
        self._dtype = dtype

    def step(self, x: Tensor, dead: Tensor, progress: float) -> Step:
        """Loss and gradients of a batch x [n, d]; `dead` has no part in it."""
        del dead
        n = len(x)
        weight = self._l1 * ramp(progress, self._warmup)
        norm = self.decoder.norm(dim=1)

        def formulas(latents: SparseLatents | DenseLatents, target: Tensor) -> Entries:
            codes = (latents.products + latents.at(self.b_enc)).relu_()
            made = latents.reconstruct(codes, self.decoder, target)
            slopes = (made.slopes * (2 / n) + latents.at(weight / n * norm)) * (codes > 0)
            mass = latents.sums(codes)
            return Entries(
                loss=(made.squared[0] + weight * mass @ norm) / n,
                squared_error=made.squared[0],
                codes=codes,
                slopes=slopes,
                towards=made.towards[0] * (2 / n),
                sums={"b_enc": latents.sums(slopes), "mass": mass},
            )

        batch = over_latents(x, x - self.b_dec, self.encoder, self.b_enc, self._dtype, formulas)
        along = weight / n * batch.sums["mass"] / norm.clamp_min(torch.finfo(norm.dtype).tiny)
        return Step(
            loss=batch.loss,
            fvu=batch.squared_error / total_variance(x),
            fired=batch.fired,
            l0=batch.l0,
            rows=replace(batch.rows, along=along),
            others={"b_enc": batch.sums["b_enc"], "b_dec": batch.towards},
        )

    def dictionary(self) -> Dictionary:
        """The inference form, over normalised activations."""
        return Dictionary(
            W_enc=self.encoder.T,
            b_enc=self.b_enc,
            W_dec=self.decoder,
            b_dec=self.b_dec,
            form="standard",
            apply_b_dec_to_input=False,
        )


class L1SAE(Architecture):
    """f = ReLU(W_enc(x − b_dec) + b_enc), x̂ = b_dec + Σ f_i W_dec,i, ‖W_dec,i‖ = 1; L = E[‖x − x̂‖² + λ Σ f_i].

    Bricken et al. 2023, "Towards Monosemanticity", "Sparse Autoencoder Setup": unit rows take from the model the way
    out of small codes with long rows. λ rises over the first steps; dead latents are resampled where the recipe says
    when (`sae.dictionaries.resampling`).
    """

    unit_rows = True

    def __init__(
        self, directions: Tensor, centre: Tensor, l1: float, warmup: float, encoder_norm: float, dtype: torch.dtype
    ):
        super().__init__()
        b_enc = directions.new_zeros(len(directions))
        self._trained(decoder=directions, encoder=encoder_norm * directions, b_enc=b_enc, b_dec=centre)
        self._l1 = l1
        self._warmup = warmup
        self._dtype = dtype

    def step(self, x: Tensor, dead: Tensor, progress: float) -> Step:
        """Loss and gradients of a batch x [n, d]; `dead` has no part in it."""
        del dead
        n = len(x)
        weight = self._l1 * ramp(progress, self._warmup)
        centred = x - self.b_dec

        def formulas(latents: SparseLatents | DenseLatents, target: Tensor) -> Entries:
            codes = (latents.products + latents.at(self.b_enc)).relu_()
            made = latents.reconstruct(codes, self.decoder, target)
            slopes = (made.slopes * (2 / n) + weight / n) * (codes > 0)
            return Entries(
                loss=(made.squared[0] + weight * codes.sum()) / n,
                squared_error=made.squared[0],
                codes=codes,
                slopes=slopes,
                towards=made.towards[0] * (2 / n),
                sums={"b_enc": latents.sums(slopes)},
            )

        batch = over_latents(centred, centred, self.encoder, self.b_enc, self._dtype, formulas)
        b_enc = batch.sums["b_enc"]
        return Step(
            loss=batch.loss,
            fvu=batch.squared_error / total_variance(x),
            fired=batch.fired,
            l0=batch.l0,
            rows=batch.rows,
            others={"b_enc": b_enc, "b_dec": batch.towards - b_enc @ self.encoder},
        )

    def dictionary(self) -> Dictionary:
        """The inference form, over normalised activations."""
        return Dictionary(W_enc=self.encoder.T, b_enc=self.b_enc, W_dec=self.decoder, b_dec=self.b_dec, form="standard")
