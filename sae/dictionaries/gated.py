"""The gated sparse autoencoder: whether a latent is active, and how strongly, are two questions."""

import torch
from torch import Tensor

from sae.dictionaries.dictionary import Dictionary
from sae.dictionaries.latents import open_latents
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
        latents = open_latents(centred, self.encoder, self.b_enc, self._dtype)
        rescale = latents.at(self.r_mag.exp())
        gate = (latents.products + latents.at(self.b_enc)).relu_()
        codes = (rescale * latents.products + latents.at(self.b_mag)).relu_() * (gate > 0)
        active = codes > 0
        made = latents.reconstruct(codes, self.decoder, centred)
        through_gate = latents.reconstruct(gate, self.decoder, centred)
        to_magnitude = made.slopes * (2 / n) * active
        to_gate = (through_gate.slopes * 2 + weight) / n * (gate > 0)
        slopes = to_magnitude * rescale + to_gate
        towards = made.towards[0] * (2 / n)
        return Step(
            loss=(made.squared[0] + through_gate.squared[0] + weight * gate.sum()) / n,
            squared_error=made.squared[0],
            fired=latents.fired(active),
            l0=active.sum() / n,
            rows=latents.rows(codes, slopes, towards),
            others={
                "b_enc": latents.sums(to_gate),
                "b_mag": latents.sums(to_magnitude),
                "r_mag": latents.sums(to_magnitude * rescale * latents.products),
                "b_dec": towards.sum(dim=0) - latents.sums(slopes) @ self.encoder,
            },
        )

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
