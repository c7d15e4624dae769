"""The map of a dictionary, made once, and begun from the map that the dictionary before it had."""

from dataclasses import asdict
from typing import Any

import polars as pl

from orchestration.partitions import Cell
from orchestration.pinned import Pinned
from orchestration.refs import Ref
from orchestration.resources import Atlas, Stage
from sae.errors import AtlasError
from sae.identity import content_id
from sae.storage import Store, StoredFile
from sae.table_files import read_table


def placed(
    atlas: Atlas, stage: Stage, dictionary: Pinned, features: pl.DataFrame, neighbors: pl.DataFrame
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """The frame `feature_map`, and facts for its ref: `placed` (a hash of what it was made from) and `start`.

    Places depend on no label: where only labels changed, the map that is there is used again. `start` names the map
    that this one began from; a map of the same dictionary made anew begins there too, so that it comes out the same.
    """
    from sae.features.map import feature_map
    from sae.features.map_start import carried_places

    before = atlas.ref_or_none(stage.cell)
    start = _start(before, dictionary.dictionary_id)
    begun = None if start is None else _map_in(atlas.store, StoredFile(**start["file"]))
    if begun is None:
        start = None
    found = stage.inputs[str(Cell("neighbors", stage.cell.partition))]
    made_from = content_id([dictionary.dictionary_id, stage.code_version, atlas.seed, found, start])
    facts = {"placed": made_from, "start": start}
    if before is not None and before.facts.get("placed") == made_from:
        there = _map_in(atlas.store, before.files["feature_map"])
        if there is not None:
            return there, facts
    directions = dictionary.directions(features)
    last = None
    if start and begun is not None and (rows := _decoder_rows(dictionary, start["dictionary_id"])) is not None:
        last = carried_places(directions, rows, begun)
    return feature_map(directions, neighbors, atlas.seed, last), facts


def _map_in(store: Store, file: StoredFile) -> pl.DataFrame | None:
    """A map as it was written; None for one that is lost or damaged, in whose place another is made."""
    try:
        return read_table(store.verify(file))
    except AtlasError:
        return None


def _start(before: Ref | None, dictionary_id: str) -> dict[str, Any] | None:
    """The last map of another dictionary, as facts: its dictionary's id and its file."""
    if before is None:
        return None
    if before.facts["dictionary_id"] == dictionary_id:
        return before.facts.get("start")
    return {"dictionary_id": before.facts["dictionary_id"], "file": asdict(before.files["feature_map"])}


def _decoder_rows(dictionary: Pinned, dictionary_id: str) -> Any:
    """Decoder rows of the dictionary that this one replaced; None where it is another, whose space may be another."""
    previous = dictionary.previous()
    return previous[0].W_dec if previous and previous[1] == dictionary_id else None
