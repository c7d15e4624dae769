"""What comes from outside, observed: the version of every source is the hash of what it says now."""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from orchestration.concept_lists import configured_concepts
from orchestration.forgotten_list import read_forgotten
from orchestration.partitions import Cell
from sae.config import AtlasConfig, ImportConfig, ModelConfig, NeuronsConfig, RecipeConfig, Workspace
from sae.config.labeling import MODEL_SCORERS, NO_MATTER
from sae.corpora.python_docs import texts_version
from sae.corpora.world import world_rules
from sae.dictionaries.formats.files import hashes, source_files
from sae.errors import AtlasError
from sae.identity import content_id, file_sha256_once
from sae.models.packages import PACKAGE, find_package_file
from sae.storage import Store

SOURCES = (
    "corpus_source",
    "model_source",
    "site_config",
    "recipe_config",
    "baseline_clock",
    "checks_config",
    "labeler_config",
    "scorers_config",
    "neighbors_config",
    "concepts_config",
    "prompts_config",
    "steering_config",
    "reviews_source",
)

NO_PART_OF_A_RECIPE = ("sites", "retrain", "checkpoint_every")
"""Keys that change nothing of the dictionary: where and when it is trained, and how often that is written down."""


def shards(workspace: Workspace) -> dict[str, str]:
    """Version of every shard of every corpus, by shard name, in order; of which all was forgotten is left out.

    Raises AtlasError on an unreadable source.
    """
    forgotten = read_forgotten(Store(workspace.store))
    versions = {shard: forgotten.version(shard, source) for shard, source in listed_shards(workspace).items()}
    return {shard: version for shard, version in versions.items() if version is not None}


def listed_shards(workspace: Workspace) -> dict[str, str]:
    """What the sources themselves say: the version of every shard, by shard name, in order."""
    from sae.corpora.sources import list_shards

    config = workspace.config
    found: dict[str, str] = {}
    for name, corpus in config.corpora.items():
        listed = list_shards(name, corpus, config.seed, workspace.path.parent)
        if not listed:
            raise AtlasError(f"corpora.{name} is empty: it holds no document. Check its paths or its source.")
        found.update(listed)
    return found


def source_version(workspace: Workspace, cell: Cell) -> str:
    """Version of one source cell."""
    config = workspace.config
    match cell:
        case Cell("corpus_source", str(shard)):
            return shards(workspace)[shard]
        case Cell("model_source", str(name)):
            return _model_version(config.models[name], config.seed, workspace.path.parent)
        case Cell("site_config", str(name)):
            return _site_version(config, name)
        case Cell("recipe_config", str(name)):
            return content_id(recipe_facts(resolved_recipe(config, name), workspace.path.parent))
        case Cell("baseline_clock", str(name)):
            (days,) = (baseline.every_days for baseline in config.baselines if baseline.dictionary == name)
            return str(int(now_s() // (days * 86_400)))
        case Cell("checks_config", None):
            return content_id(config.checks.model_dump(mode="json"))
        case Cell("labeler_config", None):
            return _hash(config.labeler, leave_out=set(NO_MATTER))
        case Cell("scorers_config", None):
            return _scorers_version(config)
        case Cell("concepts_config", None):
            return content_id([concept.model_dump(mode="json") for concept in configured_concepts(workspace)])
        case Cell("neighbors_config", None):
            return _hash(config.neighbors)
        case Cell("prompts_config", None):
            return content_id([prompt.model_dump(exclude_defaults=True) for prompt in config.prompts])
        case Cell("steering_config", None):
            return _steering_version(config)
        case Cell("reviews_source", None):
            return _reviews_version(workspace.state)
    raise ValueError(f"{cell} is not a source")


def observed(workspace: Workspace, cells: Iterable[Cell], listed: Mapping[str, str] | None = None) -> dict[Cell, str]:
    """Versions of many source cells; shards that are gone are left out.

    The corpora are listed once, where it matters; not at all where they were `listed` by `shards` just now.
    """
    wanted = list(cells)
    if listed is None:
        listed = shards(workspace) if any(cell.asset == "corpus_source" for cell in wanted) else {}
    return {
        cell: listed[str(cell.partition)] if cell.asset == "corpus_source" else source_version(workspace, cell)
        for cell in wanted
        if cell.asset != "corpus_source" or cell.partition in listed
    }


def now_s() -> float:
    """This moment, seconds since 1970."""
    return time.time()


def resolved_recipe(config: AtlasConfig, name: str) -> RecipeConfig | ImportConfig | NeuronsConfig:
    """A recipe, with its seed filled in where it trains."""
    recipe = config.dictionaries[name]
    if not isinstance(recipe, RecipeConfig) or recipe.seed is not None:
        return recipe
    return recipe.model_copy(update={"seed": config.seed})


def recipe_facts(recipe: RecipeConfig | ImportConfig | NeuronsConfig, base: Path) -> dict[str, Any]:
    """What of a recipe decides its dictionary: their hash is its version. Of a file what it holds, wherever it lies.

    What stands at its default is left out, so that a new option leaves every dictionary as it is. Whoever changes a
    default changes what the code does, and gives `dictionary_candidate` another code version.
    """
    if isinstance(recipe, ImportConfig):
        files = hashes(source_files(recipe.format, base / recipe.source))
        return {"architecture": recipe.architecture, "format": recipe.format, "files": files}
    return recipe.model_dump(mode="json", exclude=set(NO_PART_OF_A_RECIPE), exclude_defaults=True)


def _scorers_version(config: AtlasConfig) -> str:
    """Those that ask a model depend on it, and on what its budget reaches."""
    if MODEL_SCORERS.isdisjoint(config.scorers):
        return content_id(list(config.scorers))
    names = {"model", "base_url", "temperature", "seed", "structured", "budget_usd"}
    return content_id([list(config.scorers), config.labeler.model_dump(mode="json", include=names)])


def _steering_version(config: AtlasConfig) -> str:
    if not config.swaps:
        return _hash(config.steering)
    return content_id([_hash(config.steering), [_hash(swap) for swap in config.swaps]])


def _site_version(config: AtlasConfig, name: str) -> str:
    # The attention kernel is no part of a model's weights, but of how they are read.
    site = config.site(name)
    attention = config.models[site.model].attention
    return _hash(site) if attention == "auto" else content_id([_hash(site), attention])


def _model_version(model: ModelConfig, seed: int, base: Path) -> str:
    facts: dict[str, Any] = model.model_dump(exclude={"device", "attention"}, exclude_defaults=True)
    if model.source == "world":
        return content_id(facts | {"seed": seed, "rules": world_rules()})
    if model.source == "one_layer":
        return content_id(facts | {"seed": seed if model.seed is None else model.seed, "texts": texts_version(seed)})
    own = base / Path(model.source).expanduser()
    place = find_package_file(model.source) if model.source.startswith(PACKAGE) else own
    if place.is_file():
        facts["sha256"] = file_sha256_once(place)
    elif place.is_dir():
        facts["files"] = {file.name: file_sha256_once(file) for file in sorted(place.iterdir()) if file.is_file()}
    return content_id(facts)


def _reviews_version(state: Path) -> str:
    from sae.labels.ledger import Ledger

    path = state / "ledger.sqlite"
    if not path.exists():
        return content_id([])
    with Ledger(path) as ledger:
        return content_id(ledger.review_ids())


def _hash(section: Any, leave_out: set[str] | None = None) -> str:
    return content_id(section.model_dump(mode="json", exclude=leave_out, exclude_defaults=True))
