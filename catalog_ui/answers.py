"""What the inference service answers, as the pages read it: JSON of this shape and nothing else."""

from pydantic import BaseModel, ConfigDict

from sae.causal.graph import Graph


class Answer(BaseModel):
    """An answer about one dictionary. Keys that the pages do not show are left alone."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    dictionary_id: str
    text: str


class HeldFeature(BaseModel):
    """A feature held while the model wrote."""

    feature_id: str
    strength: float
    """Multiple of its largest activation."""
    held_at: float
    """The activation itself."""


class Steered(Answer):
    """What the model writes after a text, by itself and with features held."""

    features: list[HeldFeature]
    unsteered: str
    steered: str
    logit_shift: float


class FeatureOnTheWay(BaseModel):
    """A feature at a position, checked by ablation."""

    feature_id: str
    position: int
    token: str
    activation: float
    attribution: float
    ablation_effect: float | None
    label: str | None


class Explained(Answer):
    """Which features a target's logit came from, the strongest of them checked by ablation."""

    predicted: str
    is_correct: bool
    tokens: list[str]
    token_attributions: list[float]
    """At each token, the sum over all features."""
    logit_diff: float
    attributed: float
    error_attribution: float
    error_share: float | None
    ablation_spearman: float | None
    control_spearman: float | None
    n_features: int
    features: list[FeatureOnTheWay]
    graph: Graph
    """The way to the answer, through each site of the model."""
