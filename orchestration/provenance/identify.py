"""What an id names: a feature, label or dictionary, or what these came from: a document, shard, model or run."""

from orchestration.provenance.records import LedgerReader
from sae.catalog import Catalog
from sae.catalog.names import KINDS, LEAST_PREFIX, names_of
from sae.errors import AtlasError


def identify(catalog: Catalog, ledger: LedgerReader | None, name: str, kinds: tuple[str, ...]) -> tuple[str, str]:
    """The kind of what is called so, and its whole name; the beginning of an id is enough.

    Raises AtlasError where nothing of these kinds is called so, or several things.
    """
    if "feature" in kinds and ":" in name:
        if catalog.sql("select 1 from features where feature_id = ?", [name]).is_empty():
            raise AtlasError(f"No feature {name!r} in this catalog. `atlas feature {name}` says where an old one went.")
        return "feature", name
    found = {(kind, whole) for kind in kinds if kind in KINDS for whole in names_of(catalog, kind, name)}
    if "label" in kinds and ledger and len(name) >= LEAST_PREFIX:
        found |= {("label", label) for label in ledger.labels_named(name)}
    exact = [one for one in found if one[1] == name]
    if len(exact or found) > 1:
        among = ", ".join(f"{whole} (a {kind})" for kind, whole in sorted(exact or found))
        raise AtlasError(f"{name!r} begins several ids: {among}. Give more of it, or say what it is (--document …).")
    if not found:
        called = f"a {' or '.join(kinds)}" if len(kinds) < len(KINDS) else "anything in it, or the beginning of its id"
        raise AtlasError(f"Nothing in this catalog is called {name!r}: give the name of {called}.")
    return (exact or sorted(found))[0]
