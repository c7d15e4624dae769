"""Adam (Kingma and Ba 2015) for an architecture: decoder and encoder by rows, from factored gradients."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from sae.dictionaries import row_adam_kernels, sparse_kernels
from sae.dictionaries.compiled import over_parts
from sae.dictionaries.gradients import RowGradients, together
from sae.dictionaries.step import Architecture, Step

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8
_LEAST_MOMENT = 1e-30
_ROWS = ("decoder", "encoder")


class _Constants(NamedTuple):
    """Of one step of Adam, for all parameters."""

    clip: Tensor | float
    rate: float
    """With the first moment's bias correction."""
    keep1: float
    take1: float
    keep2: float
    take2: float
    root_of_correction: float
    """Of the second moment's bias correction."""
    epsilon: float
    least: float
    """Moments below it become 0."""

    @staticmethod
    def at(step: int, rate: float, clip: Tensor | float) -> "_Constants":
        correction1, correction2 = 1 - _BETA1 ** (step + 1), 1 - _BETA2 ** (step + 1)
        rates = (_BETA1, 1 - _BETA1, _BETA2, 1 - _BETA2)
        return _Constants(clip, rate / correction1, *rates, 1 / math.sqrt(correction2), _EPSILON, _LEAST_MOMENT)


class RowAdam(nn.Module):
    """Both moments of every parameter; betas (0.9, 0.999), epsilon 1e-8.

    Where the architecture keeps unit decoder rows, what of a row's gradient points along the row is taken out first
    (Towards Monosemanticity, "Sparse Autoencoder Setup": it would only change the norm, but the moments would remember
    it), and the rows are put back to norm 1 after the step. With `clip` all gradients together, after that projection,
    are scaled down to that norm.

    On the CPU one compiled loop does all this for a latent while its rows are in the cache, and no gradient is ever
    stored; clipping then costs a second forming of the gradients, unless a bound says that they are small enough.
    """

    def __init__(self, sae: Architecture, clip: float | None):
        super().__init__()
        for name, parameter in sae.named_parameters():
            self.register_buffer(f"first_{name}", torch.zeros_like(parameter))
            self.register_buffer(f"second_{name}", torch.zeros_like(parameter))
        self._clip = clip

    @torch.no_grad()
    def take(self, sae: Architecture, made: Step, step: int, rate: float, measure: bool) -> Tensor | None:
        """Step number `step`, from 0, at rate `rate`; the gradients' norm, where clipping or `measure` needs it."""
        rows = (_Looped if sae.decoder.device.type == "cpu" else _Whole)(made.rows, sae)
        norm = None
        others = [gradient.square().sum() for gradient in made.others.values()]
        clips = self._clip is not None and rows.reaches(self._clip, others)
        if clips or measure:
            squares = [rows.squared_norm(), *others]
            norm = torch.stack(squares).sum().sqrt()
        clip = 1.0 if self._clip is None or norm is None else (self._clip / norm.clamp_min(self._clip))
        constants = _Constants.at(step, rate, clip)
        rows.update({name: self._moments(name) for name in _ROWS}, constants)
        for name, gradient in made.others.items():
            own = constants._replace(rate=constants.rate * sae.rates.get(name, 1.0))
            _adam(getattr(sae, name), *self._moments(name), gradient, own)
        return norm

    def forget(self, latents: Tensor) -> None:
        """Set both moments of some latents' rows and encoder biases back to 0."""
        for name in (*_ROWS, "b_enc"):
            for moment in self._moments(name):
                moment[latents] = 0.0

    def _moments(self, name: str) -> tuple[Tensor, Tensor]:
        return getattr(self, f"first_{name}"), getattr(self, f"second_{name}")


class _Whole:
    """The rows' gradients as matrices, in torch's operators: what other devices do, and what the loops must equal."""

    def __init__(self, rows: RowGradients, sae: Architecture):
        self._sae = sae
        to_decoder, to_encoder = rows.dense(sae.decoder)
        if sae.unit_rows:
            to_decoder -= (to_decoder * sae.decoder).sum(dim=1, keepdim=True) * sae.decoder
        self._gradients = {"decoder": to_decoder, "encoder": to_encoder}

    def reaches(self, norm: float, others: list[Tensor]) -> bool:
        del norm, others
        return True

    def squared_norm(self) -> Tensor:
        return torch.stack([gradient.square().sum() for gradient in self._gradients.values()]).sum()

    def update(self, moments: Mapping[str, tuple[Tensor, Tensor]], constants: _Constants) -> None:
        for name, gradient in self._gradients.items():
            _adam(getattr(self._sae, name), *moments[name], gradient, constants)
        if self._sae.unit_rows:
            norm = self._sae.decoder.norm(dim=1, keepdim=True)
            self._sae.decoder.div_(norm.clamp_min(_LEAST_MOMENT))


class _Looped:
    """The rows' gradients formed one after the other, as often as they are wanted."""

    def __init__(self, rows: RowGradients, sae: Architecture):
        d_sae, d = sae.decoder.shape
        self._sae = sae
        self._room = ((d, np.float32), (d, np.float32))
        self._levels = np.zeros(d_sae, np.int64)
        self._entries = _no_entries(d_sae, d)
        if (e := rows.entries) is not None:
            m = len(e.support)
            starts, order, tokens = np.zeros(d_sae + 1, np.int64), np.empty(m, np.int64), np.empty(m, np.int64)
            place = np.empty(d_sae, np.int64)
            given = (e.support.offsets.numpy(), e.support.features.numpy(), starts, order, tokens, place)
            sparse_kernels.by_feature(*given)
            parts = (e.codes, e.slopes, e.towards, e.inputs)
            self._entries = (starts, order, tokens, *(part.contiguous().numpy() for part in parts))
            self._levels = e.prefixes.levels().numpy()
        slots, nothing = np.full(d_sae, -1, np.int64), np.zeros((1, d), np.float32)
        along = np.zeros(d_sae, np.float32) if rows.along is None else rows.along.numpy()
        self._added = (slots, nothing, nothing, along)
        if rows.added:
            added = together(rows.added)
            slots[added.latents.numpy()] = np.arange(len(added.latents))
            self._added = (slots, added.decoder.contiguous().numpy(), added.encoder.contiguous().numpy(), along)

    def reaches(self, norm: float, others: list[Tensor]) -> bool:
        """Whether all gradients together may have this norm: a row's is at most the sum of its entries' norms."""
        starts, order, tokens, codes, slopes, towards, inputs = self._entries
        _, added_decoder, added_encoder, along = self._added
        if along.any():
            return True
        latents = np.repeat(np.arange(len(self._levels)), np.diff(starts))
        towards_length, inputs_length = (torch.from_numpy(rows).norm(dim=-1).numpy() for rows in (towards, inputs))
        lengths = towards_length[self._levels[latents], tokens], inputs_length[tokens]
        total = sum(float(other) for other in others)
        for values, length, added in zip((codes, slopes), lengths, (added_decoder, added_encoder), strict=True):
            rows = np.bincount(latents, weights=np.abs(values[order]) * length, minlength=len(self._levels))
            total += (np.linalg.norm(rows) + np.linalg.norm(added)) ** 2
        return not total < norm**2

    def squared_norm(self) -> Tensor:
        decoder, out = self._sae.decoder.numpy(), np.empty(len(self._sae.decoder), np.float32)
        given = (self._levels, self._entries, self._added, decoder, self._sae.unit_rows, out)
        over_parts(len(out), row_adam_kernels.square_norms, *given, room=self._room)
        return torch.from_numpy(out).sum()

    def update(self, moments: Mapping[str, tuple[Tensor, Tensor]], constants: _Constants) -> None:
        decoder, encoder = self._sae.decoder.numpy(), self._sae.encoder.numpy()
        arrays = tuple(moment.numpy() for name in _ROWS for moment in moments[name])
        numbers = tuple(np.float32(float(number)) for number in constants)
        given = (self._levels, self._entries, self._added, decoder, encoder, arrays, self._sae.unit_rows, numbers)
        over_parts(len(decoder), row_adam_kernels.update, *given, room=self._room)


def _adam(parameter: Tensor, first: Tensor, second: Tensor, gradient: Tensor, constants: _Constants) -> None:
    clip, rate, keep1, take1, keep2, take2, root_of_correction, epsilon, _ = constants
    gradient = clip * gradient
    first.mul_(keep1).add_(gradient, alpha=take1)
    second.mul_(keep2).addcmul_(gradient, gradient, value=take2)
    parameter.sub_(rate * first / (second.sqrt() * root_of_correction + epsilon))


def _no_entries(d_sae: int, d: int) -> tuple[np.ndarray, ...]:
    none = np.zeros(0, np.int64)
    nothing = np.zeros(0, np.float32)
    starts = np.zeros(d_sae + 1, np.int64)
    return starts, none, none, nothing, nothing, np.zeros((1, 0, d), np.float32), np.zeros((0, d), np.float32)
