"""What a dictionary was made from, out of its provenance in the catalog.

Only parts of that JSON leave the database: the statistics of its shards are much longer than all the rest.
"""

import json
from typing import Any

import polars as pl

from sae.catalog.query import Catalog

MOST_SHARDS = 20_000
"""Shards of a dictionary that are read."""


def facts_of(catalog: Catalog, dictionary_id: str) -> dict[str, Any]:
    """The row of a dictionary and what it was made from, as `sae.dictionaries.differences` reads it."""
    row = catalog.sql(
        """
        select * exclude (provenance), provenance -> '$.model' as model,
               provenance -> '$.recipe_config' as recipe_config, provenance -> '$.inputs' as inputs,
               provenance -> '$.files' as files,
               provenance -> '$.activation_set.normalisation' as normalisation,
               provenance -> '$.activation_set.scale' as scale
        from dictionaries where dictionary_id = ?
        """,
        [dictionary_id],
    ).row(0, named=True)
    shards = [
        {"split": split, "record": {"shard": shard, "data_version": version}}
        for shard, split, version in shards_of(catalog, dictionary_id, MOST_SHARDS)
        .select("shard", "split", "data_version")
        .iter_rows()
    ]
    manifest = {name: _json(row.pop(name)) for name in ("normalisation", "scale")}
    return row | {
        "model": _json(row["model"]) or {"model_id": row["model_id"]},
        "recipe_config": _json(row["recipe_config"]) or {},
        "inputs": _json(row["inputs"]) or {},
        "files": _json(row["files"]) or {},
        "activation_set": manifest | {"hookpoint": row["hookpoint"], "shards": shards},
    }


def shards_of(catalog: Catalog, dictionary_id: str, most: int) -> pl.DataFrame:
    """The shards that a dictionary pins, those trained on first.

    shard, split, data_version (of its activations), n_tokens, sha256 (of its documents); what the catalog knows of that
    file: n_documents, created_at, retired_at.
    """
    return catalog.sql(
        """
        with pins as (
            select entry ->> '$.record.shard' as shard, entry ->> '$.split' as split,
                   entry ->> '$.record.data_version' as data_version,
                   (entry ->> '$.record.statistics.n_tokens')::bigint as n_tokens
            from (
                select unnest(json_extract(provenance, '$.activation_set.shards[*]')) as entry
                from dictionaries where dictionary_id = $name
            )
        ), files as (
            select unnest(json_keys(provenance, '$.documents')) as shard,
                   unnest(json_extract_string(provenance, '$.documents.*.sha256')) as sha256
            from dictionaries where dictionary_id = $name
        )
        select pins.*, files.sha256, s.n_documents, s.created_at, s.retired_at
        from pins
        left join files using (shard)
        left join shards s on s.shard = pins.shard and s.sha256 = files.sha256
        order by pins.split = 'held_out', pins.shard limit $most
        """,
        {"name": dictionary_id, "most": most},
    )


def _json(text: str | None) -> Any:
    return None if text is None else json.loads(text)
