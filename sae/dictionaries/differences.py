"""What differs between two dictionaries by what is recorded of them: recipe, code, model, reading, shards, figures.

Facts are those of a dictionary's provenance: `model`, `hookpoint`, `recipe_config`, `activation_set`, its sizes.
"""

from collections.abc import Mapping
from typing import Any

SIZES = ("architecture", "d_in", "d_sae", "k", "tokens_trained")
QUALITY = ("fvu", "l0", "dead_fraction", "ce_delta", "loss_recovered")

Facts = Mapping[str, Any]


def why_not_comparable(old: Facts, new: Facts) -> str | None:
    """Why features of the two cannot be matched: their directions lie in two spaces. None where they can."""
    for what, was, now in (
        ("model", old["model"]["model_id"], new["model"]["model_id"]),
        ("hookpoint", old["hookpoint"], new["hookpoint"]),
    ):
        if was != now:
            return f"features are not matched: the old one reads {what} {was}, the new one {now}"
    return None


def made_from(old: Facts, new: Facts) -> list[dict[str, Any]]:
    """What of the recipe, the code, the model and the reading differs: what, old, new."""
    sides = []
    for facts in (old, new):
        manifest = facts["activation_set"]
        sides.append(
            {name: facts.get(name) for name in ("site", *SIZES, "code_version")}
            | {f"recipe.{key}": value for key, value in facts["recipe_config"].items() if key not in SIZES}
            | {"model": facts["model"]["model_id"]}
            | {f"activations.{name}": manifest[name] for name in ("hookpoint", "normalisation", "scale")}
        )
    was, now = sides
    both = ({"what": name, "old": was.get(name), "new": now.get(name)} for name in dict.fromkeys([*was, *now]))
    return [row for row in both if row["old"] != row["new"]]


def shards(old: Facts, new: Facts) -> dict[str, Any]:
    """Which shards one reads and the other does not, or in another version or for another purpose."""
    was, now = (
        {
            entry["record"]["shard"]: (entry["split"], entry["record"]["data_version"])
            for entry in facts["activation_set"]["shards"]
        }
        for facts in (old, new)
    )
    return {
        "old": len(was),
        "new": len(now),
        "added": sorted(now.keys() - was.keys()),
        "left": sorted(was.keys() - now.keys()),
        "changed": sorted(shard for shard in was.keys() & now.keys() if was[shard] != now[shard]),
    }


def shards_in_words(found: Mapping[str, Any]) -> str:
    """A sentence of what `shards` found."""
    said = [f"{len(found[how]):,} {how} ({', '.join(found[how][:3])})" for how in ("added", "left", "changed")
            if found[how]]  # fmt: skip
    if not said:
        return f"The same {found['new']:,} shards of activations."
    return f"Shards of activations: {found['old']:,} before, {found['new']:,} now; {', '.join(said)}"


def measures(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The figures of both by metric, those of the quality first: metric, old, new; None where one was not measured."""
    names = dict.fromkeys([*QUALITY, *old, *new])
    return [{"metric": name, "old": old.get(name), "new": new.get(name)} for name in names]
