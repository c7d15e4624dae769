"""Sites of one model one after another, and which of their dictionaries are read together."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from sae.config import AtlasConfig

if TYPE_CHECKING:
    from orchestration.pinned import Pinned
    from sae.causal.edges import SitedDictionary
    from sae.models.subject import Subject


def sites_in_order(config: AtlasConfig, model: str, subject: "Subject") -> list[str]:
    """Names of a model's sites in the order in which it passes them; sites inside blocks are left out."""
    from sae.models.structure import block_paths

    order = list(block_paths(subject.module))
    sites = [site for site in config.sites if site.model == model and site.hookpoint in order]
    return [site.name for site in sorted(sites, key=lambda site: order.index(site.hookpoint))]


def paired(config: AtlasConfig, early: str, late: str) -> list[tuple[str, str]]:
    """Dictionaries of two sites that edges lead between, the earlier one first.

    The same recipe where it stands at both sites; else each recipe of the earlier site.
    """
    by_site = {site: [pair for pair, (of, _) in config.pairs().items() if of == site] for site in (early, late)}
    found = []
    for pair in by_site[late]:
        recipe = config.pairs()[pair][1]
        same = f"{early}.{recipe}"
        found += [(other, pair) for other in ([same] if same in by_site[early] else by_site[early])]
    return found


def chain_through(config: AtlasConfig, order: list[str], pair: str, accepted: Collection[str]) -> list[str]:
    """One accepted dictionary of each site in `order`, among them `pair`; a site without any is left out.

    Of the other sites the dictionary of the same recipe, else the config's first.
    """
    own_site, recipe = config.pairs()[pair]
    chain = []
    for site in order:
        there = [other for other, (of, _) in config.pairs().items() if of == site and other in accepted]
        same = [other for other in there if config.pairs()[other][1] == recipe]
        chain += [pair] if site == own_site else (same or there)[:1]
    return chain if pair in chain else [pair]


def sited(pinned: "Pinned") -> "SitedDictionary":
    """A pinned dictionary where it reads."""
    from sae.causal.edges import SitedDictionary

    return SitedDictionary(pinned.dictionary_id, pinned.dictionary, pinned.manifest.hookpoint, pinned.massive_norm)
