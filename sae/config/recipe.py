"""The section that says how a dictionary is trained."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sae.config.section import Section

_Count = Annotated[int, Field(ge=1)]


class EveryTokens(Section):
    """A policy: train again when enough has come."""

    every_tokens: int = Field(ge=1)
    """Trainable tokens of new and changed shards since the last training."""


class RecipeConfig(Section):
    """How a dictionary is trained. A recipe and a site make one dictionary."""

    architecture: Literal["standard", "l1", "gated", "topk", "batchtopk", "jumprelu", "matryoshka"]
    """The class in `sae/dictionaries/` that is trained."""
    expansion: float | None = Field(default=None, gt=0)
    """Latents per input dimension; or give `latents`. Not for `matryoshka`, whose `groups` say it."""
    latents: int | None = Field(default=None, ge=2)
    """Number of latents."""
    k: _Count | tuple[_Count, ...] | None = None
    """Active latents a token (`topk`), on average (`batchtopk`), on average of each group, or of all (`matryoshka`)."""
    groups: tuple[_Count, ...] = ()
    """Latents of each nested group (`matryoshka`)."""
    prefix_weights: tuple[float, ...] = ()
    """Weight of each prefix's reconstruction loss (`matryoshka`); 1 for all by default."""
    overlap_penalty: float = Field(default=0.0, ge=0)
    """Weight of sum relu(cos - 0.1)^2 / n over pairs of decoder rows (`matryoshka`)."""
    l1: float = Field(default=5.0, ge=0)
    """Weight of the codes' sum (`standard`, `l1`, `gated`), beside a squared error summed over dimensions."""
    l0: float = Field(default=1.0, ge=0)
    """Weight of the number of active latents (`jumprelu`), beside a squared error summed over dimensions."""
    target_l0: float | None = Field(default=None, gt=0)
    """Active latents a token to aim at (`jumprelu`), in place of the weight `l0`: thresholds start there and the loss
    (L0/target - 1)^2, beside the error as a share of the variance, keeps them there."""
    bandwidth: float = Field(default=1.0, gt=0)
    """Width of the window around a threshold in which it gets a gradient (`jumprelu`), in normalised units: random
    directions of an input with mean norm sqrt(d) have a standard deviation of about 1."""
    sparsity_warmup: float = Field(default=0.05, ge=0, le=1)
    """Share of the steps over which the weight `l1` or `l0` rises."""
    auxk: float | None = Field(default=None, ge=0)
    """Weight of the auxiliary loss that revives dead latents (`topk`, `batchtopk`, `matryoshka`). By default 1/32, and
    0 for `matryoshka`, whose small groups may leave latents unused on purpose."""
    auxk_k: int | None = Field(default=None, ge=1)
    """Dead latents that each token's auxiliary loss uses; half the input's dimensions by default."""
    dead_after: int = Field(default=100_000, ge=1)
    """Tokens of silence after which a latent counts as dead in training."""
    resample: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    """Shares of the steps after which dead latents start again at inputs with a high loss (`l1`)."""
    resample_tokens: int = Field(default=16_384, ge=1)
    """Inputs, the last ones read, among which a resampling picks."""
    tokens: int = Field(default=1_000_000, ge=1)
    """Training tokens; a smaller activation set is read for several epochs."""
    batch: int = Field(default=1024, ge=1)
    """Tokens a step."""
    learning_rate: float = Field(default=2e-3, gt=0)
    """Peak rate of Adam."""
    warmup: float = Field(default=0.02, ge=0, le=1)
    """Share of the steps over which the rate rises."""
    decay: float = Field(default=0.2, ge=0, le=1)
    """Share of the steps, the last ones, over which the rate falls to zero."""
    clip_norm: float | None = Field(default=1.0, gt=0)
    """Norm down to which larger gradients are scaled, all parameters together; null for no clipping."""
    bias_init: Literal["mean", "geometric_median"] = "mean"
    """Where the decoder's bias starts: the mean of the activations, or the geometric median of the first batch."""
    encoder_norm: float | None = Field(default=None, gt=0)
    """Norm at which encoder rows start, along the decoder's (all but `standard`, which starts both at 0.1). By default
    1/sqrt(3), as of torch's linear layers, for `topk` and `batchtopk`, 1 for `matryoshka` and `jumprelu`; for the
    others such that half of the latents together make about the input."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the product that finds the active latents; their values and gradients are float32. `auto` is
    bfloat16 where the processor multiplies it natively and the product is large enough to gain by it."""
    seed: int | None = None
    """Seed of this recipe; the config's seed by default."""
    checkpoint_every: float = Field(default=60.0, gt=0)
    """Seconds of training between two checkpoints; decides nothing of the result."""
    retrain: Literal["on_change", "manual"] | EveryTokens = "on_change"
    """When new activations make a new dictionary: at once, when someone asks, or `{every_tokens: 5_000_000}`."""
    start: Literal["fresh", "warm"] = "fresh"
    """What it is trained again from: a start of its own, or the dictionary that is current then, whose architecture,
    shape and model must be the same. The first training has none and starts fresh."""
    sites: tuple[str, ...] = ()
    """The sites it is trained on; all by default."""

    @model_validator(mode="after")
    def _consistent(self) -> "RecipeConfig":
        if self.architecture == "matryoshka":
            if self.expansion is not None or self.latents is not None:
                raise ValueError("matryoshka counts its latents in `groups`: leave out `expansion` and `latents`")
            per_group = isinstance(self.k, tuple) and len(self.k) == len(self.groups)
            if not self.groups or not (per_group or isinstance(self.k, int)):
                raise ValueError("matryoshka needs `groups` and `k`: a list of the same length, or one number for all")
            if self.prefix_weights and len(self.prefix_weights) != len(self.groups):
                raise ValueError("`prefix_weights` must have one number for each group")
            if self.prefix_weights and self.prefix_weights[-1] <= 0:
                raise ValueError("the last of `prefix_weights` must be above 0: nothing else teaches the last group")
        else:
            if self.groups or self.prefix_weights:
                raise ValueError("`groups` and `prefix_weights` belong to matryoshka only")
            if (self.expansion is None) == (self.latents is None):
                raise ValueError("give either `expansion` or `latents`")
            if self.target_l0 is not None and (self.architecture != "jumprelu" or "l0" in self.model_fields_set):
                raise ValueError("`target_l0` belongs to jumprelu, in place of `l0`: leave one of the two out")
            if self.resample and self.architecture != "l1":
                raise ValueError("`resample` belongs to l1 only; others revive latents by `auxk`, or not at all")
            if self.architecture in ("topk", "batchtopk") and not isinstance(self.k, int):
                raise ValueError(f"{self.architecture} needs a whole number `k`")
        return self

    def d_sae(self, d_in: int) -> int:
        """Number of latents over an input of `d_in` dimensions."""
        if self.groups:
            return sum(self.groups)
        return self.latents or round(d_in * (self.expansion or 0))
