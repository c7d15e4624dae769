"""A trained dictionary, ready to be used: it reads and writes the model's own activations, unscaled."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from sae.errors import AtlasError

Form = Literal["standard", "topk", "jumprelu", "gated"]

FORM_TENSORS: Mapping[Form, tuple[str, ...]] = {
    "standard": (),
    "topk": (),
    "jumprelu": ("threshold",),
    "gated": ("r_mag", "b_mag"),
}
"""What a form has beside both weights and both biases, each [d_sae]."""

_BLOCK_ROWS = 2048


class SparseCodes(NamedTuple):
    """The nonzero codes of n tokens, in coordinate form, sorted by row and within a row by feature."""

    rows: Tensor
    """int64 [m]."""
    features: Tensor
    """int64 [m]."""
    values: Tensor
    """float32 [m], positive."""


@dataclass(frozen=True, eq=False)
class Dictionary:
    """f = φ(W_encᵀ(x − b_dec) + b_enc), x̂ = Σ_i f_i W_dec,i + b_dec.

    φ by form: `standard` is ReLU; `topk` keeps the k largest and applies ReLU (Gao et al. 2024, §2.3); `jumprelu`
    keeps z where z > max(θ, 0) (Rajamanoharan et al. 2024), which is also how BatchTopK dictionaries are used token
    by token (Bussmann et al. 2024, §3). `gated` takes the encoder apart (Rajamanoharan et al. 2024, "Improving
    dictionary learning with gated sparse autoencoders", §3.2): with p = W_encᵀ(x − b_dec),
    f = 1[p + b_enc > 0] ⊙ ReLU(exp(r_mag) ⊙ p + b_mag). Where `apply_b_dec_to_input` is false the encoder reads x
    itself (Scaling Monosemanticity has no pre-encoder bias). Any normalisation that training used is folded in.

    Raises AtlasError where the parts do not fit together.
    """

    W_enc: Tensor
    """float32 [d_in, d_sae]."""
    b_enc: Tensor
    """float32 [d_sae]; for `gated` the gate's bias, b_gate."""
    W_dec: Tensor
    """float32 [d_sae, d_in]; rows of unit norm as trained here."""
    b_dec: Tensor
    """float32 [d_in]."""
    form: Form
    threshold: Tensor | None = None
    """float32 [d_sae], only for `jumprelu`."""
    r_mag: Tensor | None = None
    """float32 [d_sae], only for `gated`: the logarithm of what rescales the gate's product into the magnitude."""
    b_mag: Tensor | None = None
    """float32 [d_sae], only for `gated`: the magnitude's bias."""
    k: int | None = None
    """Active latents a token, only for `topk`."""
    apply_b_dec_to_input: bool = True
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What the file says of the model and hookpoint; no part of the arithmetic."""

    def __post_init__(self) -> None:
        d_in, d_sae = self.W_enc.shape
        shapes = {"b_enc": (d_sae,), "W_dec": (d_sae, d_in), "b_dec": (d_in,)}
        shapes |= dict.fromkeys(FORM_TENSORS[self.form], (d_sae,))
        for name, shape in shapes.items():
            tensor = getattr(self, name)
            if tensor is None or tuple(tensor.shape) != shape:
                found = "missing" if tensor is None else f"of shape {list(tensor.shape)}"
                raise AtlasError(f"The dictionary's {name} is {found}; W_enc {[d_in, d_sae]} wants {list(shape)}.")
        if self.form == "topk" and not (self.k and 0 < self.k <= d_sae):
            raise AtlasError(f"A topk dictionary of {d_sae} latents wants k between 1 and {d_sae}, found {self.k}.")

    @property
    def d_in(self) -> int:
        """Dimensions of the activations that it reads."""
        return self.W_enc.shape[0]

    @property
    def d_sae(self) -> int:
        """Number of latents."""
        return self.W_enc.shape[1]

    def encode(self, x: Tensor) -> Tensor:
        """Codes [..., d_sae] of raw activations x [..., d_in]. Gradients flow through the latents that are active."""
        x = x.to(self.W_enc.dtype)
        if self.apply_b_dec_to_input:
            x = x - self.b_dec
        product = x @ self.W_enc
        z = product + self.b_enc
        if self.form == "gated":
            assert self.r_mag is not None
            assert self.b_mag is not None
            return (product * self.r_mag.exp() + self.b_mag).relu() * (z > 0)
        if self.form == "topk":
            assert self.k is not None
            values, features = z.topk(self.k, dim=-1, sorted=False)
            return torch.zeros_like(z).scatter(-1, features, values.relu())
        codes = z.relu()
        return codes if self.threshold is None else codes * (z > self.threshold)

    def encode_sparse(self, x: Tensor) -> SparseCodes:
        """The nonzero codes of raw activations x [n, d_in]; no more than a block of rows is ever dense."""
        parts = []
        for start in range(0, len(x), _BLOCK_ROWS):
            codes = self.encode(x[start : start + _BLOCK_ROWS])
            rows, features = codes.nonzero(as_tuple=True)
            parts.append((rows + start, features, codes[rows, features]))
        if not parts:
            empty = torch.zeros(0, dtype=torch.int64, device=x.device)
            return SparseCodes(empty, empty, torch.zeros(0, device=x.device))
        return SparseCodes(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def decode(self, codes: Tensor) -> Tensor:
        """Reconstructions [..., d_in], raw, of codes [..., d_sae]."""
        return codes @ self.W_dec + self.b_dec

    def to(self, device: torch.device | str) -> "Dictionary":
        """The same dictionary with its tensors on a device."""
        tensors = {f.name: v.to(device) for f in fields(self) if isinstance(v := getattr(self, f.name), Tensor)}
        return replace(self, **tensors)


def unfold_scale(dictionary: Dictionary, scale: float) -> Dictionary:
    """The dictionary over scale·x that does what `dictionary` does over raw x: the inverse of `fold_scale`.

    It gives back what a training with unit decoder rows had; where rows had other norms, the same codes times norms.
    """
    return replace(
        dictionary,
        b_enc=dictionary.b_enc * scale,
        b_dec=dictionary.b_dec * scale,
        threshold=None if dictionary.threshold is None else dictionary.threshold * scale,
        b_mag=None if dictionary.b_mag is None else dictionary.b_mag * scale,
    )


def fold_scale(dictionary: Dictionary, scale: float) -> Dictionary:
    """The dictionary over raw x that does what `dictionary` does over scale·x, with unit decoder rows.

    With n_i = ‖W_dec,i‖ the codes become f_i n_i / scale: Scaling Monosemanticity reports f_i‖W_dec,i‖, here in the
    model's own units. A code, its threshold and its bias change by the same positive factor, so what is active stays
    active; for `topk` that wants rows of equal norm, which its training keeps. So do a gate and its magnitude, whose
    ratio r_mag stays. Rows of norm zero are left alone.
    """
    norm = dictionary.W_dec.norm(dim=1)
    norm = torch.where(norm > 0, norm, torch.ones_like(norm))
    return replace(
        dictionary,
        W_enc=(dictionary.W_enc * norm).contiguous(),
        b_enc=dictionary.b_enc * norm / scale,
        W_dec=(dictionary.W_dec / norm[:, None]).contiguous(),
        b_dec=dictionary.b_dec / scale,
        threshold=None if dictionary.threshold is None else dictionary.threshold * norm / scale,
        b_mag=None if dictionary.b_mag is None else dictionary.b_mag * norm / scale,
    )
