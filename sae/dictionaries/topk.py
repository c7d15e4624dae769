"""The TopK and BatchTopK sparse autoencoders with an auxiliary loss for dead latents."""

import torch
from torch import Tensor

from sae.dictionaries.auxk import auxiliary
from sae.dictionaries.choice import batch_topk, topk
from sae.dictionaries.dictionary import Dictionary
from sae.dictionaries.gradients import AddedRows, EntryGradients, RowGradients
from sae.dictionaries.losses import total_variance
from sae.dictionaries.sparse import Prefixes, encode_at, reconstruct
from sae.dictionaries.step import Architecture, Step, any_of
from sae.dictionaries.support import Support
from sae.dictionaries.thresholds import follow


class TopKSAE(Architecture):
    """z = W_enc(x − b_dec) + b_enc, f = ReLU(TopK(z)), x̂ = b_dec + Σ f_i W_dec,i; L = ‖x − x̂‖² + α‖e − ê‖².

    Gao et al. 2024, "Scaling and evaluating sparse autoencoders", §2.3 and appendix A.2 (AuxK, in `auxk`). Both terms
    are divided by the batch's variance. Only the product that finds the k latents is dense; their values, the decoder
    and all gradients are sparse.
    """

    unit_rows = True

    def __init__(
        self,
        directions: Tensor,
        centre: Tensor,
        k: int,
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
        self._k = k
        self._auxk = auxk
        self._auxk_k = auxk_k
        self._dtype = dtype

    def _choose(self, centred: Tensor) -> Support:
        return topk(centred, self.encoder, self.b_enc, self._k, self._dtype)

    def _remember(self, codes: Tensor) -> None:
        """What later batches, or the inference form, need of these codes [m]: nothing."""

    def step(self, x: Tensor, dead: Tensor, progress: float) -> Step:
        """Loss and gradients of a batch x [n, d]; `progress` has no part in it."""
        del progress
        d_sae = len(self.decoder)
        variance = total_variance(x)
        centred = x - self.b_dec
        support = self._choose(centred)
        codes = encode_at(centred, self.encoder, self.b_enc, support).relu_()
        active = codes > 0
        self._remember(codes)
        prefixes = Prefixes((d_sae,), (1.0,))
        made = reconstruct(codes, self.decoder, support, centred, prefixes)
        loss = fvu = made.squared[0] / variance
        aux = None
        if self._auxk and len(latents := dead.nonzero(as_tuple=True)[0]):
            aux = auxiliary(
                centred,
                -made.towards[0],
                latents,
                self.encoder,
                self.b_enc,
                self.decoder,
                self._auxk_k,
                self._auxk / variance,
                self._dtype,
            )
        towards = made.towards.mul_(2 / variance)
        slopes = made.slopes.mul_(2 / variance) * active
        b_enc = torch.zeros_like(self.b_enc).index_add_(0, support.features, slopes)
        b_dec = towards[0].sum(dim=0) - b_enc @ self.encoder
        added: tuple[AddedRows, ...] = ()
        if aux is not None:
            loss = loss + aux.loss
            b_enc.index_add_(0, aux.rows.latents, aux.b_enc)
            added = (aux.rows,)
        return Step(
            loss=loss,
            fvu=fvu,
            fired=any_of(support.features[active], d_sae),
            l0=active.sum() / len(x),
            rows=RowGradients(EntryGradients(support, codes, slopes, towards, centred, prefixes), added),
            others={"b_enc": b_enc, "b_dec": b_dec},
        )

    def dictionary(self) -> Dictionary:
        """The inference form, over normalised activations."""
        return Dictionary(
            W_enc=self.encoder.T,
            b_enc=self.b_enc,
            W_dec=self.decoder,
            b_dec=self.b_dec,
            form="topk",
            k=self._k,
        )


class BatchTopKSAE(TopKSAE):
    """TopK whose f keeps, of a batch of n tokens, the n·k largest codes wherever they are.

    Bussmann et al. 2024, "BatchTopK sparse autoencoders", §3: tokens may have more or fewer than k. Token by token
    there is no batch to rank: the inference form is a JumpReLU whose threshold is the running mean of the least code
    kept.
    """

    thresholds: Tensor

    def __init__(
        self,
        directions: Tensor,
        centre: Tensor,
        k: int,
        auxk: float,
        auxk_k: int,
        encoder_norm: float,
        dtype: torch.dtype,
    ):
        super().__init__(directions, centre, k, auxk, auxk_k, encoder_norm, dtype)
        self.register_buffer("thresholds", directions.new_zeros(1))

    def _choose(self, centred: Tensor) -> Support:
        return batch_topk(centred, self.encoder, self.b_enc, (len(self.encoder),), (self._k,), self._dtype)

    def _remember(self, codes: Tensor) -> None:
        follow(self.thresholds, 0, codes)

    def take_up(self, dictionary: Dictionary) -> None:
        """As `Architecture.take_up`."""
        assert dictionary.threshold is not None
        super().take_up(dictionary)
        self.thresholds[0] = dictionary.threshold.median()

    def dictionary(self) -> Dictionary:
        """The inference form, over normalised activations."""
        return Dictionary(
            W_enc=self.encoder.T,
            b_enc=self.b_enc,
            W_dec=self.decoder,
            b_dec=self.b_dec,
            form="jumprelu",
            threshold=self.thresholds.expand(len(self.encoder)).clone(),
        )
