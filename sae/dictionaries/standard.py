"""The standard sparse autoencoder, with Scaling Monosemanticity's loss."""

import torch
from torch import Tensor, nn

from sae.dictionaries.dictionary import Dictionary
from sae.dictionaries.losses import sparsity, squared_error
from sae.dictionaries.step import Step

_START_NORM = 0.1
_RAMP = 0.05


class StandardSAE(nn.Module):
    """f = ReLU(W_enc x + b_enc), x̂ = b_dec + Σ f_i W_dec,i; L = E[‖x − x̂‖² + λ Σ f_i‖W_dec,i‖₂].

    Templeton et al. 2024, "Scaling Monosemanticity", "Sparse autoencoders"; the recipe is the April 2024 update's:
    decoder rows start at norm 0.1, the encoder as their transpose, and λ rises over the first 5% of the steps.
    Rows have no fixed norm: the loss weighs codes by it. Where the update starts biases at 0, b_dec starts at the
    centre of the data and b_enc takes the same centre off the pre-activations: short runs would spend themselves on
    learning the mean.
    """

    unit_rows = False

    def __init__(self, directions: Tensor, centre: Tensor, l1: float):
        super().__init__()
        self.decoder = nn.Parameter(_START_NORM * directions)
        self.encoder = nn.Parameter(_START_NORM * directions)
        self.b_enc = nn.Parameter(-_START_NORM * directions @ centre)
        self.b_dec = nn.Parameter(centre.clone())
        self._l1 = l1

    def step(self, x: Tensor, dead: Tensor, progress: float) -> Step:
        """Loss of a batch x [n, d]; `dead` bool [d_sae] has no part in it; `progress` from 0 to 1 over the training."""
        del dead
        codes = torch.addmm(self.b_enc, x, self.encoder.T).relu()
        reconstruction = torch.addmm(self.b_dec, codes, self.decoder)
        weight = self._l1 * min(1.0, progress / _RAMP)
        loss = squared_error(x, reconstruction) + weight * sparsity(codes, self.decoder)
        active = codes.detach() > 0
        return Step(loss, reconstruction.detach(), active.any(dim=0), active.sum() / len(x))

    def dictionary(self) -> Dictionary:
        """The inference form, over normalised activations."""
        return Dictionary(
            W_enc=self.encoder.detach().T,
            b_enc=self.b_enc.detach(),
            W_dec=self.decoder.detach(),
            b_dec=self.b_dec.detach(),
            form="standard",
            apply_b_dec_to_input=False,
        )
