"""Which dictionaries are held against their site's neurons, and against a model's that another seed made."""

from dataclasses import dataclass

from sae.config.atlas import AtlasConfig
from sae.config.imported import NeuronsConfig
from sae.config.inputs import SiteConfig


@dataclass(frozen=True)
class Comparison:
    """What a dictionary is held against, each as `<site>.<recipe>`."""

    neurons: str
    """The neurons of its own site."""
    twin: str | None = None
    """The dictionary of the same recipe at the same place of a model that differs in its seed alone."""
    twin_neurons: str | None = None
    """That site's neurons."""

    def pairs(self) -> list[str]:
        """All of them."""
        return [pair for pair in (self.neurons, self.twin, self.twin_neurons) if pair]


def comparisons(config: AtlasConfig) -> dict[str, Comparison]:
    """By `<site>.<recipe>` what is compared: every dictionary of a site that has a recipe for its neurons.

    Of several twins it is the first in the config's order, of several recipes for neurons too.
    """
    pairs = config.pairs()
    neurons: dict[str, str] = {}
    for pair, (site, recipe) in pairs.items():
        if isinstance(config.dictionaries[recipe], NeuronsConfig):
            neurons.setdefault(site, pair)
    found = {}
    for pair, (site, recipe) in pairs.items():
        if site in neurons and not isinstance(config.dictionaries[recipe], NeuronsConfig):
            twins = [s.name for s in config.sites if s.name in neurons and _are_twins(config, config.site(site), s)]
            twin = next((name for name in twins if f"{name}.{recipe}" in pairs), None)
            others = (f"{twin}.{recipe}", neurons[twin]) if twin else ()
            found[pair] = Comparison(neurons[site], *others)
    return found


def _are_twins(config: AtlasConfig, one: SiteConfig, other: SiteConfig) -> bool:
    places = [(site.hookpoint, sorted(site.corpora)) for site in (one, other)]
    models = [config.models[site.model].model_dump(exclude={"seed", "device"}) for site in (one, other)]
    return one.model != other.model and places[0] == places[1] and models[0] == models[1]
