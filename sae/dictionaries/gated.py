"""The gated sparse autoencoder: whether a latent is active, and how strongly, are two questions."""

import torch
from torch import Tensor

from sae.dictionaries.dictionary import Dictionary
from sae.dictionaries.latents import DenseLatents, Entries, SparseLatents, over_latents
from sae.dictionaries.losses import total_variance
from sae.dictionaries.step import Architecture, Step, ramp


class GatedSAE(Architecture):
    """p = W_enc(x − b_dec), g = p + b_gate, f = 1[g > 0] ⊙ ReLU(exp(r_mag) ⊙ p + b_mag), x̂ = b_dec + Σ f_i W_dec,i.

    L = E[‖x − x̂‖² + λ Σ ReLU(g)_i + ‖x − x̂°(ReLU(g))‖²], where x̂° decodes with W_dec and b_dec held constant.
    Rajamanoharan et al. 2024, "Improving dictionary learning with gated sparse autoencoders", §3.2 and appendix:
    the penalty falls on the gate alone, so that it does not shrink the codes; the auxiliary term trains the gate, which
    the step function cuts off from the first. Decoder rows have norm 1; r_mag and both biases start at 0.
    """

    unit_rows = True
    r_mag: Tensor
    b_mag: Tensor

    def __init__(
        self, directions: Tensor, centre: Tensor, l1: float, warmup: float, encoder_norm: float, dtype: torch.dtype
    ):
        super().__init__()
        zero = directions.new_zeros(len(directions))
        encoder = encoder_norm * directions
        self._trained(decoder=directions, encoder=encoder, b_enc=zero, b_mag=zero, r_mag=zero, b_dec=centre)
        self._l1 = l1
        self._warmup = warmup
        self._dtype = dtype

    def step(self, x: Tensor, dead: Tensor, progress: float) -> Step:
        """Loss and gradients of a batch x [n, d]; `dead` has no part in it."""
        del dead
        n = len(x)
        weight = self._l1 * ramp(progress, self._warmup)
        centred = x - self.b_dec
        rescale = self.r_mag.exp()

        def formulas(latents: SparseLatents | DenseLatents, target: Tensor) -> Entries:
            gate = (latents.products + latents.at(self.b_enc)).relu_()
            open_ = gate > 0
            codes = (latents.at(rescale) * latents.products + latents.at(self.b_mag)).relu_() * open_
            made = latents.reconstruct(codes, self.decoder, target)
            through_gate = latents.reconstruct(gate, self.decoder, target)
            to_magnitude = made.slopes * (2 / n) * (codes > 0)
            to_gate = (through_gate.slopes * (2 / n) + weight / n) * open_
            rescaled = to_magnitude * latents.at(rescale)
            slopes = rescaled + to_gate
            return Entries(
                loss=(made.squared[0] + through_gate.squared[0] + weight * gate.sum()) / n,
                squared_error=made.squared[0],
                codes=codes,
                slopes=slopes,
                towards=made.towards[0] * (2 / n),
                sums={
                    "b_enc": latents.sums(to_gate),
                    "b_mag": latents.sums(to_magnitude),
                    "r_mag": latents.sums(rescaled.mul_(latents.products)),
                    "slopes": latents.sums(slopes),
                },
            )

        batch = over_latents(centred, centred, self.encoder, self.b_enc, self._dtype, formulas)
        return Step(
            loss=batch.loss,
            fvu=batch.squared_error / total_variance(x),
            fired=batch.fired,
            l0=batch.l0,
            rows=batch.rows,
            others={
                "b_enc": batch.sums["b_enc"],
                "b_mag": batch.sums["b_mag"],
                "r_mag": batch.sums["r_mag"],
                "b_dec": batch.towards - batch.sums["slopes"] @ self.encoder,
            },
        )

    def take_up(self, dictionary: Dictionary) -> None:
        """As `Architecture.take_up`."""
        assert dictionary.r_mag is not None
        assert dictionary.b_mag is not None
        super().take_up(dictionary)
        self.r_mag.copy_(dictionary.r_mag)
        self.b_mag.copy_(dictionary.b_mag)

    def dictionary(self) -> Dictionary:
        """The inference form, over normalised activations."""
        return Dictionary(
            W_enc=self.encoder.T,
            b_enc=self.b_enc,
            W_dec=self.decoder,
            b_dec=self.b_dec,
            form="gated",
            r_mag=self.r_mag,
            b_mag=self.b_mag,
        )
