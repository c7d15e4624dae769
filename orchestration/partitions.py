"""Which partitions each asset has, and which upstream cells a cell is made from.

One table, `PARTITIONED_BY`, serves both sides: the assets take their Dagster partitions and mappings from it, and the
planner follows the same cells. A cell is an asset together with a partition key (None where it has none).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

import dagster as dg

from sae.config import AtlasConfig
from sae.config.compared import Comparison, comparisons

Kind = Literal["model", "site", "recipe", "dictionary", "baseline", "compared", "shard", "shard_site", "none"]

SHARDS = "shards"
"""Name of the dynamic partitions `<corpus>-<00000>`."""

PARTITIONED_BY: dict[str, Kind] = {
    # Observed sources.
    "corpus_source": "shard",
    "model_source": "model",
    "site_config": "site",
    "recipe_config": "recipe",
    "baseline_clock": "baseline",
    "checks_config": "none",
    "labeler_config": "none",
    "scorers_config": "none",
    "neighbors_config": "none",
    "concepts_config": "none",
    "prompts_config": "none",
    "steering_config": "none",
    "reviews_source": "none",
    # Assets.
    "corpus": "shard",
    "subject_model": "model",
    "hookpoints": "site",
    "activations": "shard_site",
    "activation_set": "site",
    "dictionary_candidate": "dictionary",
    "baseline": "baseline",
    "dictionary": "dictionary",
    "features": "dictionary",
    "examples": "dictionary",
    "labels": "dictionary",
    "label_scores": "dictionary",
    "neighbors": "dictionary",
    "feature_map": "dictionary",
    "logit_weights": "dictionary",
    "attributions": "dictionary",
    "steering": "dictionary",
    "evaluation": "dictionary",
    "neuron_checks": "compared",
    "cross_neighbors": "site",
    "feature_matches": "site",
    "attribution_edges": "none",
    "catalog_candidate": "none",
    "catalog": "none",
}


class Cell(NamedTuple):
    """One thing to make: an asset, or one partition of it."""

    asset: str
    partition: str | None

    def __str__(self) -> str:
        return self.asset if self.partition is None else f"{self.asset}[{self.partition}]"


@dataclass(frozen=True)
class Keys:
    """The partitions of one config, with the shards known now."""

    config: AtlasConfig
    shards: Sequence[str] = field(default=())

    def of(self, asset: str) -> dg.PartitionsDefinition | None:
        """The Dagster partitions of an asset."""
        match PARTITIONED_BY[asset]:
            case "none":
                return None
            case "shard":
                return dg.DynamicPartitionsDefinition(name=SHARDS)
            case "shard_site":
                sites = dg.StaticPartitionsDefinition(self.keys("site"))
                shards = dg.DynamicPartitionsDefinition(name=SHARDS)
                return dg.MultiPartitionsDefinition({"shard": shards, "site": sites})
            case kind:
                return dg.StaticPartitionsDefinition(self.keys(kind))

    def dep(self, upstream: str, of: str) -> dg.AssetDep:
        """The dependency of asset `of` on `upstream`, with Dagster's own mapping between their partitions."""
        return dg.AssetDep(upstream, partition_mapping=self.mapping(upstream, of))

    def mapping(self, upstream: str, of: str) -> dg.PartitionMapping | None:
        """Dagster's mapping from the partitions of `upstream` to those of `of`."""
        up, down = PARTITIONED_BY[upstream], PARTITIONED_BY[of]
        if "none" in (up, down):
            return None if up == "none" else dg.AllPartitionMapping()
        if up == down:
            return dg.IdentityPartitionMapping()
        if "shard_site" in (up, down):
            dimension = "shard" if "shard" in (up, down) else "site"
            return dg.MultiToSingleDimensionPartitionMapping(partition_dimension_name=dimension)
        pairs: dict[str, list[str]] = {key: [] for key in self.keys(up)}
        for key in self.keys(down):
            for source in self.sources(up, down, key):
                pairs[source].append(key)
        return dg.StaticPartitionMapping(pairs)

    def keys(self, kind: Kind) -> list[str]:
        """All partition keys of a kind, in the config's order."""
        match kind:
            case "model":
                return list(self.config.models)
            case "site":
                return [site.name for site in self.config.sites]
            case "recipe":
                return list(self.config.dictionaries)
            case "dictionary":
                return list(self._pairs)
            case "baseline":
                return [baseline.dictionary for baseline in self.config.baselines]
            case "compared":
                return list(self._compared)
            case "shard":
                return list(self.shards)
            case "shard_site":
                return [key for keys in self._by_site.values() for key in keys]
            case "none":
                return []

    def cells(self, asset: str) -> list[Cell]:
        """All cells of an asset."""
        kind = PARTITIONED_BY[asset]
        return [Cell(asset, None)] if kind == "none" else [Cell(asset, key) for key in self.keys(kind)]

    def upstream(self, cell: Cell, parent: str) -> list[Cell]:
        """The cells of the asset `parent` that `cell` is made from."""
        up, down = PARTITIONED_BY[parent], PARTITIONED_BY[cell.asset]
        if up == "none" or cell.partition is None:
            return self.cells(parent)
        return [Cell(parent, key) for key in self.sources(up, down, cell.partition)]

    def sources(self, up: Kind, down: Kind, key: str) -> list[str]:
        """Keys of kind `up` from which the key `key` of kind `down` is made."""
        if up == down:
            return [key]
        match up, down:
            case "shard", "shard_site":
                return [key.split("|")[0]]
            case "site", "shard_site":
                return [key.split("|")[1]]
            case "shard_site", "site":
                return self._by_site[key]
            case "dictionary", "baseline":
                return [key]
            case "dictionary", "compared":
                return [key, *self._compared[key].pairs()]
            case "model", "site":
                return [self.config.site(key).model]
            case "model", "dictionary":
                return [self.config.site(self._pairs[key][0]).model]
            case "site", "dictionary":
                return [self._pairs[key][0]]
            case "recipe", "dictionary":
                return [self._pairs[key][1]]
            case "dictionary", "site":
                return [pair for pair, (site, _) in self._pairs.items() if site == key]
        raise ValueError(f"no way from {up} to {down}")

    @cached_property
    def _pairs(self) -> dict[str, tuple[str, str]]:
        return self.config.pairs()

    @cached_property
    def _compared(self) -> dict[str, Comparison]:
        return comparisons(self.config)

    @cached_property
    def _by_site(self) -> dict[str, list[str]]:
        """Keys `<shard>|<site>` of each site."""
        return {
            site.name: [f"{shard}|{site.name}" for shard in self.shards if wanted(site.corpora, shard)]
            for site in self.config.sites
        }


def wanted(corpora: Sequence[str], shard: str) -> bool:
    """Whether a site that reads `corpora` reads this shard."""
    return shard.rsplit("-", 1)[0] in corpora
