"""The section that says who writes the labels, and what that may cost."""

from typing import Literal, Self

from pydantic import Field, model_validator

from sae.config.section import Section


class PriceConfig(Section):
    """USD per million tokens."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)


class ShownConfig(Section):
    """How many examples a prompt shows, as far as there are that many (Towards Monosemanticity's numbers)."""

    top: int = Field(default=10, ge=1)
    """The strongest."""
    intervals: int = Field(default=12, ge=0)
    """Equal intervals between 0 and the feature's maximal activation."""
    per_interval: int = Field(default=2, ge=0)
    """Examples from each."""
    random: int = Field(default=5, ge=0)
    """Drawn from all places where it is active."""
    out_of_context: int = Field(default=10, ge=0)
    """Places where it is silent."""
    tokens_around: int = Field(default=12, ge=1)
    """Tokens shown on either side of an example's place, up to those that are kept."""
    pictures: int = Field(default=6, ge=0)
    """Largest number of pictures sent with one prompt, where `images` is on."""
    logit_tokens: int = Field(default=10, ge=0)
    """Tokens listed that the feature makes likelier."""


class PriorityConfig(Section):
    """Which features are asked about first, where the budget may not reach all."""

    density: tuple[float, float] = (1e-5, 0.05)
    """The band of densities that comes first: rarer features have few examples, commoner ones seldom have a name."""


Scorer = Literal["rule", "truth", "detection", "fuzzing", "simulation", "specificity"]
MODEL_SCORERS: frozenset[Scorer] = frozenset({"detection", "fuzzing", "simulation", "specificity"})
"""Scorers that ask the labeler's model, within its budget."""
NO_MATTER: frozenset[str] = frozenset({"concurrency", "timeout_s", "retries", "price", "batch"})
"""Keys of the labeler that change how fast and how dear it is, but no label."""


class LabelerConfig(Section):
    """Who writes the labels."""

    provider: Literal["lexical", "openai"] = "lexical"
    """`lexical` reads the examples and needs no model; `openai` asks a model on any server that speaks OpenAI's API."""
    seed: int = 0
    """Part of every label's id."""
    model: str | None = Field(default=None, min_length=1)
    """The model that is asked, by its server's name for it."""
    base_url: str | None = Field(default=None, pattern=r"^https?://")
    """The server's address up to `/v1`; OpenAI's own by default. The key comes from OPENAI_API_KEY alone."""
    budget_usd: float | None = Field(default=None, ge=0)
    """The most that all requests kept in the ledger may ever cost, US dollars. Past it features keep what they have."""
    price: PriceConfig | None = None
    concurrency: int = Field(default=8, ge=1, le=256)
    """Requests under way at a time."""
    temperature: float | None = Field(default=0.0, ge=0)
    """Sampling temperature; null leaves it out, for models that take none."""
    max_output_tokens: int = Field(default=300, ge=1)
    """The longest reply that is paid for, tokens."""
    timeout_s: float = Field(default=60.0, gt=0)
    """The longest wait for a reply, seconds."""
    attempts: int = Field(default=2, ge=1)
    """How often a feature is asked about where the reply is of no use, each time with another seed."""
    retries: int = Field(default=5, ge=0)
    """How often a request is sent again where the server or the network fails."""
    structured: Literal["auto", "schema", "none"] = "auto"
    """Whether the reply's JSON schema is sent along; `auto` does until the server refuses it."""
    images: bool = False
    """Whether the model reads pictures; otherwise it is told where one stands."""
    image_tokens: int = Field(default=3000, ge=0)
    """The most input tokens that a picture counts for, for the budget."""
    batch: bool = False
    """Whether requests go through the Batch API: half the price, hours instead of seconds."""
    examples: ShownConfig = ShownConfig()
    priority: PriorityConfig = PriorityConfig()

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.provider == "openai":
            for name in ("model", "budget_usd", "price"):
                if getattr(self, name) is None:
                    raise ValueError(f"provider openai needs `{name}` (a server of your own: `price: {{input: 0, …}}`)")
        return self
