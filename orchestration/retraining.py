"""When new activations make a new dictionary: by the recipe's policy."""

from collections.abc import Mapping
from typing import Any

from orchestration.partitions import Cell
from orchestration.refs import Ref
from sae.config import AtlasConfig
from sae.config.recipe import EveryTokens


def held_back(
    cell: Cell, config: AtlasConfig, ref: Ref, activations: Ref | None, code_version: str, inputs: Mapping[str, str]
) -> str | None:
    """Why a candidate is left as it is although its activations changed, in words; None where it is to be trained.

    Only new activations wait: a changed recipe, code or model trains at once, whatever the policy.

    :param activations: the activation set as it is now
    """
    if cell.asset != "dictionary_candidate" or activations is None or ref.code_version != code_version:
        return None
    policy = getattr(config.dictionaries[config.pairs()[str(cell.partition)][1]], "retrain", "on_change")
    changed = {name for name in ref.inputs.keys() | inputs.keys() if ref.inputs.get(name) != inputs.get(name)}
    if policy == "on_change" or changed != {str(activations.cell)} or ref.facts["model"] != activations.facts["model"]:
        return None
    new = new_tokens(activations.facts["activation_set"], ref.facts["activation_set"])
    if not isinstance(policy, EveryTokens):
        return f"{new:,} new tokens wait until someone asks (`atlas run --select dictionary_candidate --force`)"
    return (
        f"{new:,} of the {policy.every_tokens:,} new tokens that train it again" if new < policy.every_tokens else None
    )


def new_tokens(now: Mapping[str, Any], then: Mapping[str, Any]) -> int:
    """Trainable tokens of the shards that one manifest has and an older one has not, or not in this version."""
    known = {(entry["record"]["shard"], entry["record"]["data_version"]) for entry in then["shards"]}
    return sum(
        entry["record"]["statistics"]["n_trainable"]
        for entry in now["shards"]
        if (entry["record"]["shard"], entry["record"]["data_version"]) not in known
    )
