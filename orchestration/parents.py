"""What a dictionary is trained from where its recipe says `start: warm`: the one that is current."""

from typing import TYPE_CHECKING, Any

from orchestration.refs import Ref
from sae.config import RecipeConfig
from sae.identity import content_id
from sae.storage import Store

if TYPE_CHECKING:
    from sae.dictionaries.warm_start import Parent


def parent_record(recipe: RecipeConfig, current: Ref | None) -> dict[str, Any] | None:
    """The current dictionary as a candidate's facts name it; None where the candidate starts fresh."""
    if recipe.start == "fresh" or current is None:
        return None
    facts = current.facts
    return {
        "dictionary_id": current.data_version,
        "build_key": facts["build_key"],
        "site": facts["site"],
        "model_id": facts["model"]["model_id"],
        "architecture": facts["recipe_config"]["architecture"],
        "groups": facts["recipe_config"].get("groups", []),
        "files": sorted(current.files),
    }


def open_parent(store: Store, record: dict[str, Any] | None) -> "Parent | None":
    """The dictionary that a record names. Raises AtlasError where its files are gone or damaged."""
    from sae.dictionaries.layout import load_dictionary
    from sae.dictionaries.warm_start import Parent

    if record is None:
        return None
    name = record["dictionary_id"]
    paths = [store.local(f"dictionaries/{name}/{file}") for file in record["files"]]
    return Parent(
        name,
        load_dictionary(paths[0].parent),
        record["architecture"],
        tuple(record["groups"]),
        record["site"],
        record["model_id"],
    )


def training_key(build_key: str, parent: dict[str, Any] | None) -> str:
    """Build key of a dictionary: its stage's, and with it what training started from, which is no upstream cell."""
    return build_key if parent is None else content_id({"stage": build_key, "parent": parent["dictionary_id"]})
