"""The Matryoshka sparse autoencoder: nested groups of latents, each prefix of which reconstructs on its own."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sae.dictionaries.dictionary import Dictionary
from sae.dictionaries.losses import overlap, squared_error
from sae.dictionaries.sparse import Support, sparse_decode, sparse_encode
from sae.dictionaries.step import Step

_THRESHOLD_MEMORY = 0.99


class MatryoshkaSAE(nn.Module):
    """L = Σ_p w_p E‖x − b_dec − Σ_{g ≤ p} Σ_{i in g} f_i W_dec,i‖² + β Σ_{i≠j} relu(cos(W_i, W_j) − 0.1)² / n.

    Bussmann et al. 2025, "Learning multi-level features with Matryoshka sparse autoencoders": each prefix of the
    dictionary must reconstruct, so that early groups hold the general features that later ones would absorb. Here each
    group has its own BatchTopK (Bussmann et al. 2024): of a batch of n tokens a group keeps its n·k strongest codes.
    The overlap penalty keeps decoder rows apart.

    Token by token there is no batch to rank: the inference form is a JumpReLU whose threshold is, for each group, the
    running mean of the least code that it kept.
    """

    unit_rows = True
    thresholds: Tensor

    def __init__(
        self,
        directions: Tensor,
        centre: Tensor,
        groups: Sequence[int],
        k: Sequence[int],
        weights: Sequence[float],
        overlap_penalty: float,
        encoder_norm: float,
    ):
        super().__init__()
        self.decoder = nn.Parameter(directions.clone())
        self.encoder = nn.Parameter(encoder_norm * directions)
        self.b_enc = nn.Parameter(directions.new_zeros(len(directions)))
        self.b_dec = nn.Parameter(centre.clone())
        self.register_buffer("thresholds", directions.new_zeros(len(groups)))
        stops = torch.tensor(groups).cumsum(0).tolist()
        self._groups = [slice(stop - size, stop) for stop, size in zip(stops, groups, strict=True)]
        self._k = tuple(k)
        self._weights = tuple(weights)
        self._overlap_penalty = overlap_penalty

    def step(self, x: Tensor, dead: Tensor, progress: float) -> Step:
        """Loss of a batch x [n, d]; neither `dead` nor `progress` has a part in it."""
        del dead, progress
        centred = x - self.b_dec
        with torch.no_grad():
            codes = torch.addmm(self.b_enc, centred, self.encoder.T).relu()
        reconstruction = self.b_dec.expand_as(x)
        loss = x.new_zeros(())
        n_active = x.new_zeros(())
        fired = []
        for number, (group, k, weight) in enumerate(zip(self._groups, self._k, self._weights, strict=True)):
            active = batch_topk(codes[:, group], k)
            support = Support.from_mask(active)
            values = sparse_encode(centred, self.encoder[group], self.b_enc[group], support).relu()
            reconstruction = reconstruction + sparse_decode(values, self.decoder[group], support)
            loss = loss + weight * squared_error(x, reconstruction)
            self._remember_threshold(number, values.detach())
            fired.append(active.any(dim=0))
            n_active += len(values)
        if self._overlap_penalty:
            loss = loss + self._overlap_penalty * overlap(self.decoder)
        return Step(loss, reconstruction.detach(), torch.cat(fired), n_active / len(x))

    def _remember_threshold(self, group: int, kept: Tensor) -> None:
        if not len(kept):
            return
        before = self.thresholds[group]
        memory = torch.where(before == 0, 0.0, _THRESHOLD_MEMORY)
        self.thresholds[group] = memory * before + (1 - memory) * kept.min()

    def dictionary(self) -> Dictionary:
        """The inference form, over normalised activations."""
        sizes = torch.tensor([group.stop - group.start for group in self._groups], device=self.thresholds.device)
        return Dictionary(
            W_enc=self.encoder.detach().T,
            b_enc=self.b_enc.detach(),
            W_dec=self.decoder.detach(),
            b_dec=self.b_dec.detach(),
            form="jumprelu",
            threshold=self.thresholds.repeat_interleave(sizes),
        )


def batch_topk(codes: Tensor, k: int) -> Tensor:
    """bool [n, d_sae]: the n·k largest of the batch's codes [n, d_sae], without those that are 0."""
    n_kept = min(k * len(codes), codes.numel())
    chosen = codes.flatten().topk(n_kept, sorted=False).indices
    active = torch.zeros(codes.numel(), dtype=torch.bool, device=codes.device)
    active[chosen] = True
    return active.view_as(codes) & (codes > 0)
