"""The map of a dictionary, made once, and begun from the map that the dictionary before it had."""

from dataclasses import asdict
from typing import Any

import polars as pl

from orchestration.partitions import Cell
from orchestration.pinned import Pinned
from orchestration.refs import Ref
from orchestration.resources import Atlas, Stage
from sae.identity import content_id
from sae.storage import StoredFile


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
    found = stage.inputs[str(Cell("neighbors", stage.cell.partition))]
    made_from = content_id([dictionary.dictionary_id, stage.code_version, atlas.seed, found, start])
    facts = {"placed": made_from, "start": start}
    if before is not None and before.facts.get("placed") == made_from:
        return pl.read_parquet(atlas.store.verify(before.files["feature_map"])), facts
    directions = dictionary.directions(features)
    last = None
    if start is not None and (rows := _decoder_rows(dictionary, start["dictionary_id"])) is not None:
        last = carried_places(directions, rows, pl.read_parquet(atlas.store.verify(StoredFile(**start["file"]))))
    return feature_map(directions, neighbors, atlas.seed, last), facts


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
