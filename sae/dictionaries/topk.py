"""The TopK sparse autoencoder with an auxiliary loss for dead latents."""

import torch
from torch import Tensor, nn

from sae.dictionaries.dictionary import Dictionary
from sae.dictionaries.losses import normalised_error, total_variance
from sae.dictionaries.sparse import Support, sparse_decode, sparse_encode
from sae.dictionaries.step import Step


class TopKSAE(nn.Module):
    """z = W_enc(x − b_dec) + b_enc, f = ReLU(TopK(z)), x̂ = b_dec + Σ f_i W_dec,i; L = ‖x − x̂‖² + α‖e − ê‖².

    Gao et al. 2024, "Scaling and evaluating sparse autoencoders", §2.3 and appendix A.2 (AuxK): e = x − x̂ is
    reconstructed as ê by the d/2 strongest among the dead latents, which gives them a gradient. Both terms are divided
    by the batch's variance; the second fades where fewer than d/2 latents are dead, as in EleutherAI's sparsify.
    Only the product that finds the k latents is dense; their values, the decoder and all gradients are sparse.
    """

    unit_rows = True

    def __init__(
        self, directions: Tensor, centre: Tensor, k: int, auxk: float, encoder_norm: float, precision: torch.dtype
    ):
        super().__init__()
        self.decoder = nn.Parameter(directions.clone())
        self.encoder = nn.Parameter(encoder_norm * directions)
        self.b_enc = nn.Parameter(directions.new_zeros(len(directions)))
        self.b_dec = nn.Parameter(centre.clone())
        self._k = k
        self._auxk = auxk
        self._precision = precision

    def step(self, x: Tensor, dead: Tensor, progress: float) -> Step:
        """Loss of a batch x [n, d] with `dead` bool [d_sae]; `progress` has no part in it."""
        del progress
        d_sae = len(self.decoder)
        centred = x - self.b_dec
        with torch.no_grad():
            scores = _scores(centred, self.encoder, self.b_enc, self._precision)
            support = Support.from_rows(scores.topk(self._k, dim=1, sorted=False).indices, d_sae)
        values = sparse_encode(centred, self.encoder, self.b_enc, support).relu()
        reconstruction = sparse_decode(values, self.decoder, support) + self.b_dec
        loss = normalised_error(x, reconstruction)
        if self._auxk and (n_dead := int(dead.sum())):
            error = (x - reconstruction).detach()
            loss = loss + self._auxk * self._auxiliary_loss(centred, error, dead, n_dead) / total_variance(x)
        active = values.detach() > 0
        fired = torch.zeros(d_sae, dtype=torch.bool, device=x.device)
        fired[support.features[active]] = True
        return Step(loss, reconstruction.detach(), fired, active.sum() / len(x))

    def _auxiliary_loss(self, centred: Tensor, error: Tensor, dead: Tensor, n_dead: int) -> Tensor:
        wanted = centred.shape[1] // 2
        k = min(wanted, n_dead)
        latents = dead.nonzero(as_tuple=True)[0]
        z = torch.addmm(self.b_enc[latents], centred.detach(), self.encoder[latents].T)
        values, chosen = z.topk(k, dim=1, sorted=False)
        codes = torch.zeros_like(z).scatter(1, chosen, values.relu())
        return k / wanted * (error - codes @ self.decoder[latents]).square().sum()

    def dictionary(self) -> Dictionary:
        """The inference form, over normalised activations."""
        return Dictionary(
            W_enc=self.encoder.detach().T,
            b_enc=self.b_enc.detach(),
            W_dec=self.decoder.detach(),
            b_dec=self.b_dec.detach(),
            form="topk",
            k=self._k,
        )


def _scores(x: Tensor, encoder: Tensor, bias: Tensor, precision: torch.dtype) -> Tensor:
    """Pre-activations [n, d_sae] in the number format that only chooses latents, never gives their values."""
    return torch.addmm(bias.to(precision), x.to(precision), encoder.T.to(precision))
