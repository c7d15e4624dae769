"""The small catalog with a past and with faults: a replaced dictionary, a candidate turned down, a failed check…"""

import json
from datetime import timedelta

import polars as pl
from catalog_fixture import LARGE, MODEL, OLD, RUN, SITE, T0, provenance_of, small_frames

from sae.catalog.frames import frame_schema
from sae.catalog.schema import TABLES
from sae.storage import Store

REJECTED = "eeee000011112222"
"""A candidate of the recipe `small` that the gate turned down."""
REASON = "fvu_below: 0.41 against 0.3"
PAIR = f"{SITE}.large"


def frames_with_past(store: Store) -> dict[str, pl.DataFrame]:
    """The frames of `small_frames` and the rows of all that went before, or wrong."""
    frames = small_frames(store)
    for table, rows in _rows().items():
        added = pl.DataFrame(rows, schema=frame_schema(TABLES[table]), orient="row")
        frames[table] = pl.concat([frames[table], added])
    # The corpus has another version of a shard now than the one that the dictionaries were made from.
    replaced = pl.when(sha256="1" * 64).then(pl.lit(T0 + timedelta(days=1))).otherwise(pl.col("retired_at"))
    frames["shards"] = frames["shards"].with_columns(retired_at=replaced)
    return frames


def _rows() -> dict[str, list[tuple]]:
    day = T0 + timedelta(days=1)
    return {
        "dictionaries": [
            _dictionary(OLD, "large", _provenance_of_old(), replaced_by=LARGE),
            _dictionary(REJECTED, "small", provenance_of("small"), rejected_because=REASON),
        ],
        "shards": [
            ("world-00001", "world", "f" * 64, 11, None, day, None),
            ("world-00004", "world", "4" * 64, 10, None, day, None),
        ],
        "checks": [
            ("dictionary_candidate", f"{SITE}.small", "fvu_below", False, "WARN", 0.41, 0.3, RUN, T0),
            ("catalog_candidate", None, "catalog_reads", False, "ERROR", 1.0, 0.0, RUN, T0),
        ],
        "runs": [("run-2", "schedule", "FAILURE", day, day + timedelta(seconds=90), 1.25)],
        "lineage": [
            ("labels", PAIR, "labels-1", "key-labels", "2", "run-2", day, day + timedelta(seconds=5), None, 1.25)
        ],
        "lineage_edges": [
            ("corpus", "world-00000", "v0", "corpus_source", "world-00000", "s0"),
            ("corpus", "world-00001", "v1", "corpus_source", "world-00001", "s1"),
            ("dictionary_candidate", PAIR, LARGE, "corpus", "world-00001", "v1"),
            ("dictionary", PAIR, LARGE, "dictionary_candidate", PAIR, LARGE),
            ("features", PAIR, "features-1", "dictionary", PAIR, LARGE),
            ("labels", PAIR, "labels-1", "features", PAIR, "features-1"),
            ("labels", PAIR, "labels-1", "labeler_config", None, "labeler-1"),
            ("label_scores", PAIR, "scores-1", "labels", PAIR, "labels-1"),
        ],
        "evaluation": [
            (LARGE, "fvu", 0.12, 100, 0.11, 0.13, None, 0, json.dumps({"unit": "documents"})),
            (LARGE, "neighbors_city_lift", 4.9, 100, 4.5, 5.3, 1.0, 0, None),
        ],
    }


def _dictionary(
    dictionary: str,
    recipe: str,
    provenance: dict,
    replaced_by: str | None = None,
    rejected_because: str | None = None,
) -> tuple:
    trained = ("layers.3", recipe, "matryoshka", 64, 50, 8, 900_000)
    measures = (0.41, 7.0, 0.02, 0.06, 0.95)
    state = (False, rejected_because, replaced_by, json.dumps(provenance))
    made = T0 - timedelta(days=7)
    return (dictionary, f"key-{dictionary[:4]}", SITE, MODEL, *trained, *measures, "1", RUN, made, *state)


def _provenance_of_old() -> dict:
    """As today's, but from one shard less, of another seed."""
    provenance = provenance_of("large")
    provenance["recipe_config"] |= {"seed": 1}
    provenance["activation_set"]["shards"].pop(0)
    return provenance
