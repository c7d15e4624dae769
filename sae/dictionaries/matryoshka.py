"""The Matryoshka sparse autoencoder: nested groups of latents, each prefix of which reconstructs on its own."""

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from sae.dictionaries.auxk import auxiliary
from sae.dictionaries.choice import batch_topk
from sae.dictionaries.dictionary import Dictionary
from sae.dictionaries.gradients import AddedRows, EntryGradients, RowGradients
from sae.dictionaries.losses import overlap, total_variance
from sae.dictionaries.sparse import Prefixes, encode_at, reconstruct
from sae.dictionaries.step import Architecture, Step, any_of
from sae.dictionaries.thresholds import follow


class MatryoshkaSAE(Architecture):
    """L = Σ_p w_p E‖x − b_dec − Σ_{g ≤ p} Σ_{i in g} f_i W_dec,i‖² + β Σ_{i≠j} relu(cos(W_i, W_j) − 0.1)² / n.

    Bussmann et al. 2025, "Learning multi-level features with Matryoshka sparse autoencoders": each prefix of the
    dictionary must reconstruct, so that early groups hold the general features that later ones would absorb. f is a
    BatchTopK (Bussmann et al. 2024): with one `k`, as in the paper, over all groups together; with one for each group,
    within each. The overlap penalty keeps decoder rows apart. α > 0 adds α times the mean per token of AuxK (`auxk`),
    where dead latents of any group make what all groups together miss.

    Token by token there is no batch to rank: the inference form is a JumpReLU whose threshold is, for each choice, the
    running mean of the least code that it kept.
    """

    unit_rows = True
    thresholds: Tensor

    def __init__(
        self,
        directions: Tensor,
        centre: Tensor,
        groups: Sequence[int],
        k: int | Sequence[int],
        weights: Sequence[float],
        overlap_penalty: float,
        auxk: float,
        auxk_k: int,
        encoder_norm: float,
        dtype: torch.dtype,
    ):
        super().__init__()
        self._trained(
            decoder=directions,
            encoder=encoder_norm * directions,
            b_enc=directions.new_zeros(len(directions)),
            b_dec=centre,
        )
        self._k, self._ranked = ((k,), (len(directions),)) if isinstance(k, int) else (tuple(k), tuple(groups))
        self.register_buffer("thresholds", directions.new_zeros(len(self._ranked)))
        self._prefixes = Prefixes(tuple(accumulate(groups)), tuple(weights))
        self._overlap_penalty = overlap_penalty
        self._auxk = auxk
        self._auxk_k = auxk_k
        self._dtype = dtype

    def step(self, x: Tensor, dead: Tensor, progress: float) -> Step:
        """Loss and gradients of a batch x [n, d]; `progress` has no part in it."""
        del progress
        n, d_sae = len(x), len(self.decoder)
        variance = total_variance(x)
        centred = x - self.b_dec
        support = batch_topk(centred, self.encoder, self.b_enc, self._ranked, self._k, self._dtype)
        codes = encode_at(centred, self.encoder, self.b_enc, support).relu_()
        active = codes > 0
        stop = 0
        for number, size in enumerate(self._ranked):
            here = (support.features >= stop) & (support.features < stop + size)
            follow(self.thresholds, number, codes[here])
            stop += size
        made = reconstruct(codes, self.decoder, support, centred, self._prefixes)
        loss = (made.squared @ x.new_tensor(self._prefixes.weights)) / n
        towards = made.towards.mul_(2 / n)
        slopes = made.slopes.mul_(2 / n) * active
        b_enc = torch.zeros_like(self.b_enc).index_add_(0, support.features, slopes)
        others = {"b_enc": b_enc, "b_dec": towards[0].sum(dim=0) - b_enc @ self.encoder}
        added: list[AddedRows] = []
        if self._auxk and len(latents := dead.nonzero(as_tuple=True)[0]):
            aux = auxiliary(
                centred,
                towards[-1] * (-n / 2 / self._prefixes.weights[-1]),
                latents,
                self.encoder,
                self.b_enc,
                self.decoder,
                self._auxk_k,
                self._auxk / n,
                self._dtype,
            )
            loss = loss + aux.loss
            others["b_enc"].index_add_(0, latents, aux.b_enc)
            added.append(aux.rows)
        if self._overlap_penalty:
            apart, penalty = torch.func.grad_and_value(overlap)(self.decoder)
            loss = loss + self._overlap_penalty * penalty
            every = torch.arange(d_sae, device=x.device)
            added.append(AddedRows(every, self._overlap_penalty * apart, torch.zeros_like(apart)))
        return Step(
            loss=loss,
            fvu=made.squared[-1] / variance,
            fired=any_of(support.features[active], d_sae),
            l0=active.sum() / n,
            rows=RowGradients(EntryGradients(support, codes, slopes, towards, centred, self._prefixes), tuple(added)),
            others=others,
        )

    def take_up(self, dictionary: Dictionary) -> None:
        """As `Architecture.take_up`."""
        assert dictionary.threshold is not None
        super().take_up(dictionary)
        for number, part in enumerate(dictionary.threshold.split(self._ranked)):
            self.thresholds[number] = part.median()

    def dictionary(self) -> Dictionary:
        """The inference form, over normalised activations."""
        sizes = torch.tensor(self._ranked, device=self.thresholds.device)
        return Dictionary(
            W_enc=self.encoder.T,
            b_enc=self.b_enc,
            W_dec=self.decoder,
            b_dec=self.b_dec,
            form="jumprelu",
            threshold=self.thresholds.repeat_interleave(sizes),
        )
