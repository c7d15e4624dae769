"""`atlas.yaml`: one file says everything that is made. Unknown keys are refused, units stand in the field's text."""

import os
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from sae.config_faults import first_fault
from sae.errors import ConfigError

CONFIG_VARIABLE = "ATLAS_CONFIG"
"""Environment variable that names the config file."""
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
"""A key that becomes a partition and a file name: letters, digits, dot, dash and underscore."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelConfig(_Section):
    """A subject model."""

    source: str
    """`world`, `package://<package>/<file>.gguf`, a local folder, or a hub id."""
    revision: str | None = None
    """Commit of a hub id."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Arithmetic of the forward pass."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes a GPU where there is one."""
    steps: int = Field(default=600, ge=1)
    """Training steps; only for `source: world`, whose model is trained here."""


class CorpusConfig(_Section):
    """A source of documents, cut into shards."""

    source: Literal["world", "python_docs", "files", "huggingface"]
    """The adapter in `sae/corpora/` that reads it."""
    shards: int = Field(default=4, ge=2)
    """Number of shards (`files` has at least one a file). The last eighth of them, at least one, is held out."""
    documents: int | None = Field(default=None, ge=1)
    """Upper bound on documents; for `world` the number drawn."""
    tokens: int | None = Field(default=None, ge=1)
    """Upper bound on tokens, counted in words and punctuation marks."""
    paths: tuple[str, ...] = ()
    """Glob patterns for `files` (txt, md, py, jsonl, parquet, png, jpg)."""
    text: str = "text"
    """Column that holds the text (jsonl, parquet, huggingface)."""
    language: str | None = None
    """Column that holds the language, where there is one."""
    image: str | None = None
    """Column that holds a picture's path or bytes, where there is one."""
    dataset: str | None = None
    """Hub id of the data set (`huggingface`)."""
    config: str | None = None
    """Configuration of the data set (`huggingface`)."""
    split: str = "train"
    """Split of the data set (`huggingface`)."""


class SiteConfig(_Section):
    """A place in a model whose output is read: model and hookpoint."""

    model: Name
    hookpoint: Name
    """For example `layers.12`: the output of block 12."""
    corpora: tuple[Name, ...] = Field(min_length=1)
    """The corpora read at this site."""
    batch_tokens: int = Field(default=4096, ge=16)
    """Positions of one forward pass."""
    store_dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Number format of the stored activations."""
    normalisation: Literal["sqrt_d", "mean_square"] = "sqrt_d"
    """One scalar a site: mean L2 norm sqrt(d) (April 2024 update), or mean squared norm d (Scaling Monosemanticity)."""
    massive_norm_ratio: float = Field(default=10.0, gt=1)
    """Positions whose norm exceeds this multiple of the shard's median are massive: counted, not trained on."""

    @property
    def name(self) -> str:
        """`<model>.<hookpoint>`, the site's partition key."""
        return f"{self.model}.{self.hookpoint}"


class RecipeConfig(_Section):
    """How a dictionary is trained. A recipe and a site make one dictionary."""

    architecture: Literal["standard", "topk", "matryoshka"]
    """The class in `sae/dictionaries/` that is trained."""
    expansion: float | None = Field(default=None, gt=0)
    """Latents per input dimension; or give `latents`. Not for `matryoshka`, whose `groups` say it."""
    latents: int | None = Field(default=None, ge=2)
    """Number of latents."""
    k: int | tuple[int, ...] | None = None
    """Active latents a token (`topk`), or of each group on average (`matryoshka`)."""
    groups: tuple[int, ...] = ()
    """Latents of each nested group (`matryoshka`)."""
    prefix_weights: tuple[float, ...] = ()
    """Weight of each prefix's reconstruction loss (`matryoshka`); 1 for all by default."""
    overlap_penalty: float = Field(default=0.0, ge=0)
    """Weight of sum relu(cos - 0.1)^2 / n over pairs of decoder rows."""
    l1: float = Field(default=5.0, ge=0)
    """Weight of the sparsity term (`standard`)."""
    auxk: float = Field(default=1 / 32, ge=0)
    """Weight of the auxiliary loss that revives dead latents (`topk`)."""
    dead_after: int = Field(default=100_000, ge=1)
    """Tokens of silence after which a latent counts as dead in training."""
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
    bias_init: Literal["mean", "geometric_median"] = "mean"
    """Where the decoder's bias starts: the mean of the activations, or the geometric median of the first batch."""
    encoder_norm: float = Field(default=1.0, gt=0)
    """Norm at which encoder rows start, along the decoder's (`topk`, `matryoshka`)."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic that chooses the k latents (`topk`); their values and all gradients are float32."""
    seed: int | None = None
    """Seed of this recipe; the config's seed by default."""
    retrain: Literal["on_change"] = "on_change"
    """When new activations make a new dictionary."""
    sites: tuple[str, ...] = ()
    """The sites it is trained on; all by default."""

    @model_validator(mode="after")
    def _consistent(self) -> "RecipeConfig":
        if self.architecture == "matryoshka":
            if self.expansion is not None or self.latents is not None:
                raise ValueError("matryoshka counts its latents in `groups`: leave out `expansion` and `latents`")
            if not self.groups or not isinstance(self.k, tuple) or len(self.k) != len(self.groups):
                raise ValueError("matryoshka needs `groups` and a list `k` of the same length")
            if self.prefix_weights and len(self.prefix_weights) != len(self.groups):
                raise ValueError("`prefix_weights` must have one number for each group")
        else:
            if self.groups or self.prefix_weights:
                raise ValueError("`groups` and `prefix_weights` belong to matryoshka only")
            if (self.expansion is None) == (self.latents is None):
                raise ValueError("give either `expansion` or `latents`")
            if self.architecture == "topk" and not isinstance(self.k, int):
                raise ValueError("topk needs a whole number `k`")
        return self

    def d_sae(self, d_in: int) -> int:
        """Number of latents over an input of `d_in` dimensions."""
        if self.groups:
            return sum(self.groups)
        return self.latents or round(d_in * (self.expansion or 0))


class PriceConfig(_Section):
    """USD per million tokens."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)


class LabelerConfig(_Section):
    """Who writes the labels."""

    provider: Literal["lexical"] = "lexical"
    """`lexical` reads the examples and needs no model."""
    seed: int = 0
    """Part of every label's id."""


class CheckConfig(_Section):
    """Thresholds of the checks; a dictionary that misses one never becomes current."""

    fvu: float = Field(default=0.3, gt=0)
    """Largest fraction of variance unexplained on held-out tokens."""
    dead: float = Field(default=0.2, ge=0, le=1)
    """Largest share of latents silent on the held-out and training tokens read."""
    loss_recovered: float = Field(default=0.9, le=1)
    """Smallest share of the loss recovered when the reconstruction is spliced in."""
    labels_cover: float = Field(default=0.95, ge=0, le=1)
    """Smallest share of live features with a label."""


class SteeringPromptConfig(_Section):
    """A text that one model goes on from."""

    model: Name
    text: str = Field(min_length=1)


class SteeringConfig(_Section):
    """Generations kept with a feature clamped to multiples of its maximum."""

    strengths: tuple[float, ...] = (-5, 0, 5, 10)
    """Multiples of the feature's maximal activation; 0 leaves the model as it is."""
    prompts: tuple[str | SteeringPromptConfig, ...] = ()
    """Texts to go on from: for every model, or `{model: …, text: …}` for one."""
    features: tuple[str, ...] = ()
    """Features by concept name or by `<dictionary_id>:<index>`; empty takes the best-known ones."""
    max_features: int = Field(default=3, ge=0)
    """How many best-known features are steered where `features` is empty."""
    new_tokens: int = Field(default=8, ge=1)
    """Length of a completion."""

    def texts(self, model: str) -> list[str]:
        """The texts that a model goes on from."""
        own = [prompt.text for prompt in self.prompts if not isinstance(prompt, str) and prompt.model == model]
        return [prompt for prompt in self.prompts if isinstance(prompt, str)] + own


class PromptConfig(_Section):
    """An attribution question kept fresh."""

    id: Name
    model: Name
    text: str = Field(min_length=1)
    target: str = Field(min_length=1)
    """The continuation whose logit is explained."""
    baseline: str | None = None
    """The continuation it is compared with; the mean logit by default."""


class ScheduleConfig(_Section):
    """When the refresh runs."""

    refresh: str = "0 3 * * *"
    """Cron expression."""
    timezone: str = "UTC"


class AtlasConfig(_Section):
    """The whole file."""

    store: str = ".atlas"
    """Folder (or fsspec URL) of the immutable files, relative to the config's folder."""
    state: str = ".atlas/state"
    """Local folder of Dagster's instance, the ledger and the writer's lock."""
    seed: int = 0
    """Seed of everything that has no seed of its own."""
    models: dict[Name, ModelConfig] = Field(min_length=1)
    corpora: dict[Name, CorpusConfig] = Field(min_length=1)
    sites: tuple[SiteConfig, ...] = Field(min_length=1)
    dictionaries: dict[Name, RecipeConfig] = Field(min_length=1)
    """Recipes by name."""
    labeler: LabelerConfig = LabelerConfig()
    scorers: tuple[Literal["rule", "truth"], ...] = ("rule",)
    checks: CheckConfig = CheckConfig()
    steering: SteeringConfig = SteeringConfig()
    prompts: tuple[PromptConfig, ...] = ()
    schedule: ScheduleConfig = ScheduleConfig()

    @model_validator(mode="after")
    def _references(self) -> "AtlasConfig":
        sites = [site.name for site in self.sites]
        _known("sites", "model", {site.model for site in self.sites}, set(self.models))
        _known("sites", "corpora", {c for site in self.sites for c in site.corpora}, set(self.corpora))
        _known("dictionaries", "sites", {s for r in self.dictionaries.values() for s in r.sites}, set(sites))
        _known("prompts", "model", {prompt.model for prompt in self.prompts}, set(self.models))
        steered = {prompt.model for prompt in self.steering.prompts if not isinstance(prompt, str)}
        _known("steering.prompts", "model", steered, set(self.models))
        _unique("sites", sites)
        _unique("prompts", [prompt.id for prompt in self.prompts])
        return self

    def site(self, name: str) -> SiteConfig:
        """The site of that name."""
        return next(site for site in self.sites if site.name == name)

    def pairs(self) -> dict[str, tuple[str, str]]:
        """The dictionaries to make: `<site>.<recipe>` to (site, recipe), in the config's order."""
        return {
            f"{site.name}.{recipe}": (site.name, recipe)
            for site in self.sites
            for recipe, config in self.dictionaries.items()
            if not config.sites or site.name in config.sites
        }


class Workspace(BaseModel):
    """A config together with the places it names, made absolute."""

    model_config = ConfigDict(frozen=True)

    config: AtlasConfig
    path: Path
    """The config file."""
    store: str
    """Absolute folder or fsspec URL."""
    state: Path
    """Absolute folder."""


def load_workspace(path: str | os.PathLike[str] | None = None) -> Workspace:
    """Read a config: `path`, else `$ATLAS_CONFIG`, else `atlas.yaml` here; `$ATLAS_STORE` replaces the store.

    Raises ConfigError naming the key, what was found and what is allowed.
    """
    file = Path(path or os.environ.get(CONFIG_VARIABLE) or "atlas.yaml").absolute()
    if not file.is_file():
        raise ConfigError(f"No config at {file}. Write one with `atlas init`, or name yours in ATLAS_CONFIG.")
    config = parse_config(file.read_bytes(), file.name)
    store, state = config.store, file.parent / config.state
    if override := os.environ.get("ATLAS_STORE"):
        store = override
        if "://" not in override:
            state = Path(override).absolute() / "state"
    if "://" not in store:
        store = str((file.parent / store).absolute())
    return Workspace(config=config, path=file, store=store, state=state.absolute())


def parse_config(data: bytes, name: str) -> AtlasConfig:
    """Parse and validate YAML bytes; `name` stands in the error."""
    try:
        raw = yaml.safe_load(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: not UTF-8 (byte {error.start}). Save the file as UTF-8.") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{name}: a mapping of keys is wanted. `atlas init` writes one to start from.")
    try:
        return AtlasConfig.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{name}: {first_fault(error, AtlasConfig)}") from error


def _known(section: str, key: str, used: set[str], known: set[str]) -> None:
    for name in sorted(used - known):
        raise ValueError(f"{section}: {key} names {name!r}, which is not defined. Defined: {', '.join(sorted(known))}")


def _unique(section: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{section}: {name!r} stands twice")
