"""What an id names: a feature, label or dictionary, or what these came from: a document, shard, model or run."""

from orchestration.provenance.records import LedgerReader
from sae.catalog import Catalog
from sae.errors import AtlasError

_LEAST_PREFIX = 4
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
"""What is called what, by kind."""
_WHOLE = ("shard", "model")
"""Kinds whose names are short words: the whole of one is wanted."""


def identify(catalog: Catalog, ledger: LedgerReader | None, name: str, kinds: tuple[str, ...]) -> tuple[str, str]:
    """The kind of what is called so, and its whole name; the beginning of an id is enough.

    Raises AtlasError where nothing of these kinds is called so, or several things.
    """
    if "feature" in kinds and ":" in name:
        if catalog.sql("select 1 from features where feature_id = ?", [name]).is_empty():
            raise AtlasError(f"No feature {name!r} in this catalog. `atlas feature {name}` says where an old one went.")
        return "feature", name
    found = {(kind, whole) for kind in kinds if kind in _IDS for whole in _named(catalog, kind, name)}
    if "label" in kinds and ledger and len(name) >= _LEAST_PREFIX:
        found |= {("label", label) for label in ledger.labels_named(name)}
    exact = [one for one in found if one[1] == name]
    if len(exact or found) > 1:
        among = ", ".join(f"{whole} (a {kind})" for kind, whole in sorted(exact or found))
        raise AtlasError(f"{name!r} begins several ids: {among}. Give more of it, or say what it is (--document …).")
    if not found:
        called = " or ".join(kinds) if len(kinds) < len(_IDS) else "id of anything"
        raise AtlasError(f"Nothing in this catalog is called {name!r}: give the name of a {called}.")
    return (exact or sorted(found))[0]


def _named(catalog: Catalog, kind: str, name: str) -> list[str]:
    begins = len(name) >= _LEAST_PREFIX and kind not in _WHOLE
    wanted = "starts_with(id, ?)" if begins else "id = ?"
    return catalog.sql(f"select id from ({_IDS[kind]}) ids(id) where {wanted} limit 5", [name]).to_series().to_list()
