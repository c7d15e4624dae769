"""The whole file, and the sections that say what is checked, asked and scheduled."""

import zoneinfo
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from sae.config.imported import ImportConfig, NeuronsConfig
from sae.config.inputs import CorpusConfig, ModelConfig, SiteConfig
from sae.config.labeling import MODEL_SCORERS, LabelerConfig, Scorer
from sae.config.neighbors import NeighborsConfig
from sae.config.openlineage import OpenLineageConfig
from sae.config.operations import AlertConfig, RetentionConfig
from sae.config.recipe import RecipeConfig
from sae.config.section import Name, Section

Recipe = Annotated[RecipeConfig | ImportConfig | NeuronsConfig, Field(discriminator="architecture")]


class CheckConfig(Section):
    """Thresholds of the checks; a dictionary that misses one never becomes current."""

    fvu: float = Field(default=0.3, gt=0)
    """Largest fraction of variance unexplained on held-out tokens."""
    dead: float = Field(default=0.2, ge=0, le=1)
    """Largest share of latents silent on the held-out and training tokens read."""
    loss_recovered: float = Field(default=0.9, le=1)
    """Smallest share of the loss recovered when the reconstruction is spliced in; not asked of a model that predicts no
    next token (an encoder)."""
    worse_by: float = Field(default=0.05, ge=0)
    """The most by which a dictionary trained again by the same recipe may be worse than the current one, in any of the
    three above."""
    labels_cover: float = Field(default=0.95, ge=0, le=1)
    """Smallest share of live features with a label."""
    label_score: float = Field(default=0.6, ge=0, le=1)
    """Labels that score lower in detection, fuzzing, truth or (where no model judged them) by their rule are marked."""


class SteeringPromptConfig(Section):
    """A text that one model goes on from."""

    model: Name
    text: str = Field(min_length=1)


class SteeringConfig(Section):
    """Generations kept with a feature clamped to multiples of its maximum."""

    strengths: tuple[float, ...] = (-5, 0, 5, 10)
    """Multiples of the feature's maximal activation; 0 leaves the model as it is."""
    prompts: tuple[str | SteeringPromptConfig, ...] = ()
    """Texts to go on from: for every model, or `{model: …, text: …}` for one."""
    features: tuple[str | tuple[str, ...], ...] = ()
    """Features by concept name or by `<dictionary_id>:<index>`, a list of them to be held at once; empty takes the
    best-known ones."""
    max_features: int = Field(default=3, ge=0)
    """How many best-known features are steered where `features` is empty."""
    new_tokens: int = Field(default=8, ge=1)
    """Length of a completion."""

    def texts(self, model: str) -> list[str]:
        """The texts that a model goes on from."""
        own = [prompt.text for prompt in self.prompts if not isinstance(prompt, str) and prompt.model == model]
        return [prompt for prompt in self.prompts if isinstance(prompt, str)] + own


class PromptConfig(Section):
    """An attribution question kept fresh."""

    id: Name
    model: Name
    text: str = Field(min_length=1)
    target: str = Field(min_length=1)
    """The continuation whose logit is explained."""
    baseline: str | None = None
    """The continuation it is compared with; the mean logit by default."""


class SwapConfig(Section):
    """Features taken out of a question's prompt and others put in their place: does the answer follow?"""

    prompt: Name
    """The `id` of a question under `prompts`."""
    out: tuple[str, ...] = ()
    """Features by concept name or by `<dictionary_id>:<index>`, held at 0."""
    put: tuple[str, ...] = Field(min_length=1)
    """Features held at `strength`."""
    strength: float = 1.0
    """Multiple of each put-in feature's maximal activation."""
    at: tuple[str, ...] = ()
    """Tokens of the prompt where this is done; empty for where a feature taken out is active, and the last one."""


class ScheduleConfig(Section):
    """When the refresh runs."""

    refresh: str = Field(default="0 3 * * *", pattern=r"^[0-9*][^ ]*( [^ ]+){4}$")
    """Cron expression of five fields."""
    timezone: str = "UTC"
    """Name of the time zone in which it is read, for example Europe/Berlin."""
    watch_seconds: int = Field(default=60, ge=5)
    """How often the corpora's sources are looked at for new, changed and lost files."""

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        if name not in zoneinfo.available_timezones():
            raise ValueError("no time zone of that name is known; they are written like Europe/Berlin")
        return name


class BaselineConfig(Section):
    """A dictionary that is trained again from time to time, to catch drift in code or data."""

    dictionary: str
    """`<site>.<recipe>`; a small one."""
    every_days: int = Field(default=7, ge=1)
    """Days between two trainings; the refresh that comes first in each period makes it."""


class AtlasConfig(Section):
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
    dictionaries: dict[Name, Recipe] = Field(min_length=1)
    """Recipes by name: to train, of a file of another library, or a site's neurons."""
    labeler: LabelerConfig = LabelerConfig()
    scorers: tuple[Scorer, ...] = ("rule",)
    """Who judges the labels. `rule` and `truth` are free; the others ask the labeler's model and spend its budget."""
    checks: CheckConfig = CheckConfig()
    neighbors: NeighborsConfig = NeighborsConfig()
    concepts: str | None = None
    """YAML file with concepts, each with texts that show it and texts that do not (`sae/config/concept_list.py`): how
    well features stand for them is measured on every dictionary but those of the demo world's model, which reads no
    other language. Relative to the config's folder, or `package://<package>/<file>`."""
    steering: SteeringConfig = SteeringConfig()
    prompts: tuple[PromptConfig, ...] = ()
    swaps: tuple[SwapConfig, ...] = ()
    schedule: ScheduleConfig = ScheduleConfig()
    openlineage: OpenLineageConfig | None = None
    """Where lineage events go; nowhere by default."""
    baselines: tuple[BaselineConfig, ...] = ()
    retention: RetentionConfig = RetentionConfig()
    alerts: AlertConfig = AlertConfig()

    @model_validator(mode="after")
    def _references(self) -> "AtlasConfig":
        sites = [site.name for site in self.sites]
        _known("sites", "model", {site.model for site in self.sites}, set(self.models))
        _known("sites", "corpora", {c for site in self.sites for c in site.corpora}, set(self.corpora))
        _known("dictionaries", "sites", {s for r in self.dictionaries.values() for s in r.sites}, set(sites))
        _known("prompts", "model", {prompt.model for prompt in self.prompts}, set(self.models))
        steered = {prompt.model for prompt in self.steering.prompts if not isinstance(prompt, str)}
        _known("steering.prompts", "model", steered, set(self.models))
        _known("swaps", "prompt", {swap.prompt for swap in self.swaps}, {prompt.id for prompt in self.prompts})
        _unique("scorers", list(self.scorers))
        asking = sorted(MODEL_SCORERS & set(self.scorers))
        if asking and None in (self.labeler.model, self.labeler.price, self.labeler.budget_usd):
            raise ValueError(f"scorers: {asking[0]} asks a model: give labeler its `model`, `price` and `budget_usd`")
        recipes = {pair: self.dictionaries[name] for pair, (_, name) in self.pairs().items()}
        trained = {pair for pair, recipe in recipes.items() if isinstance(recipe, RecipeConfig)}
        _known("baselines", "dictionary", {baseline.dictionary for baseline in self.baselines}, trained)
        _unique("baselines", [baseline.dictionary for baseline in self.baselines])
        _unique("sites", sites)
        _unique("dictionaries", [f"{site}.{recipe}" for site, recipe in self._trained_at()])
        _unique("prompts", [prompt.id for prompt in self.prompts])
        return self

    def site(self, name: str) -> SiteConfig:
        """The site of that name."""
        return next(site for site in self.sites if site.name == name)

    def pairs(self) -> dict[str, tuple[str, str]]:
        """The dictionaries to make: `<site>.<recipe>` to (site, recipe), in the config's order."""
        return {f"{site}.{recipe}": (site, recipe) for site, recipe in self._trained_at()}

    def _trained_at(self) -> list[tuple[str, str]]:
        return [
            (site.name, recipe)
            for site in self.sites
            for recipe, config in self.dictionaries.items()
            if not config.sites or site.name in config.sites
        ]


def _known(section: str, key: str, used: set[str], known: set[str]) -> None:
    for name in sorted(used - known):
        raise ValueError(f"{section}: {key} names {name!r}, which is not defined. Defined: {', '.join(sorted(known))}")


def _unique(section: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{section}: {name!r} stands twice")
