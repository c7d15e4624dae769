"""What an id or the beginning of one names in the catalog."""

from sae.catalog.query import Catalog

LEAST_PREFIX = 4
"""Characters of an id that are enough."""
_IDS = {
    "label": "select label_id from labels",
    "dictionary": "select dictionary_id from dictionaries",
    "document": "select document_id from documents",
    "shard": "select distinct shard from shards",
    "model": "select model_id from models union select name from models "
    "union select distinct model from labels where labeler <> 'human'",
    "run": "select distinct run_id from (select run_id from lineage union all select run_id from dictionaries "
    "union all select run_id from labels union all select run_id from label_scores)",
}
KINDS = tuple(_IDS)
"""What is called what."""
_WHOLE = ("shard", "model")
"""Kinds whose names are short words: the whole of one is wanted."""


def names_of(catalog: Catalog, kind: str, name: str) -> list[str]:
    """The whole names, five at most, of what is called so or whose id begins so, of one of `KINDS`."""
    begins = len(name) >= LEAST_PREFIX and kind not in _WHOLE
    wanted = "starts_with(id, ?)" if begins else "id = ?"
    query = f"select id from ({_IDS[kind]}) ids(id) where {wanted} order by id limit 5"
    return catalog.sql(query, [name]).to_series().to_list()
