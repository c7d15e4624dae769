"""The dictionaries that a current one replaced: which they were, and what of theirs is still there to compare.

The gate keeps the record: the dictionary that it let go, with those that went before. Their files stay in the store,
so that features can be matched, and the tables that were measured of the last one stay named.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from orchestration.partitions import Cell
from orchestration.refs import Ref, read_ref
from sae.errors import AtlasError
from sae.storage import Store

GENERATIONS = 5
"""How many replaced dictionaries a gate remembers; features are matched to each of them."""
_MEASURED = {"features": ("features",), "evaluation": ("evaluation",)}
"""Tables by asset that the record of a replaced dictionary names."""


def predecessor(store: Store, previous: Ref | None, candidate: Ref) -> dict[str, Any] | None:
    """The record of what the gate held before, where it was another dictionary: new features are matched to its.

    :param previous: the gate's ref until now
    """
    if previous is None or previous.data_version == candidate.data_version:
        return previous.facts.get("previous") if previous else None
    older = [one for one in replaced(previous.facts) if one["dictionary_id"] != candidate.data_version]
    return {
        "dictionary_id": previous.data_version,
        "files": sorted(previous.files),
        "stored": {role: asdict(file) for role, file in previous.files.items()},
        "tables": _tables(store, previous),
        "before": [{name: one[name] for name in one if name != "before"} for one in older[: GENERATIONS - 1]],
    }


def replaced(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The records of all dictionaries that the facts of a gate's ref remember, the last one first."""
    previous = facts.get("previous")
    return [previous, *previous.get("before", [])] if previous else []


def comparable(store: Store, facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those of the replaced dictionaries that read the same model and that retention has left in the store.

    Directions in two models' spaces are not to be compared.
    """
    return [
        record
        for record in replaced(facts)
        if all(store.exists(f"dictionaries/{record['dictionary_id']}/{file}") for file in record["files"])
        and provenance_of(store, record["dictionary_id"])["model"]["model_id"] == facts["model"]["model_id"]
    ]


def provenance_of(store: Store, dictionary_id: str) -> dict[str, Any]:
    """What a dictionary of the store was made from and how good it is, by its own folder.

    Raises AtlasError where the store has no such dictionary, or its record is damaged.
    """
    path = f"dictionaries/{dictionary_id}/provenance.json"
    if not store.exists(path):
        raise AtlasError(f"The store has no dictionary {dictionary_id}: it was removed.")
    try:
        return json.loads(store.read_bytes(path))
    except ValueError as error:
        raise AtlasError(f"{path} is damaged ({error}).") from error


def _tables(store: Store, previous: Ref) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for asset, names in _MEASURED.items():
        ref = read_ref(store, Cell(asset, previous.partition))
        if ref and ref.facts.get("dictionary_id") == previous.data_version:
            found |= {name: asdict(ref.files[name]) for name in names if name in ref.files}
    return found
