"""Where a label, a feature or a dictionary came from: the chain up to the corpus and the model, each hash verified.

label ← reply ← prompt ← examples ← documents ← feature ← dictionary ← recipe ← activations ← shards ← model
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestration.provenance.dictionaries import dictionary_links, feature_link
from orchestration.provenance.evidence import evidence_links
from orchestration.provenance.labels import label_links
from orchestration.provenance.link import Link, unchecked
from orchestration.provenance.records import LedgerReader, open_ledger
from sae.catalog import Catalog
from sae.errors import AtlasError
from sae.storage import Store

_LEAST_PREFIX = 4
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_LONGEST = 200


def audit_chain(store: Store, catalog: Catalog, ledger: Path, identifier: str) -> list[Link]:
    """The links of the chain, what was asked for first, the model last.

    :param ledger: the ledger's file; without it what it alone holds is not checked
    :param identifier: id of a feature, or of a label or dictionary, of which the beginning is enough
    Raises AtlasError where nothing is called so, or several things.
    """
    with open_ledger(ledger) as records:
        return list(_links(store, catalog, records, identifier))


def print_chain(chain: Sequence[Link]) -> str:
    """The chain as text, each link with its facts and what was verified; control characters become spaces."""
    lines = []
    for number, link in enumerate(chain):
        lines.append(f"{'← ' if number else ''}{link.what} {link.id}  {link.outcome}")
        lines += [f"    {name}: {_short(value)}" for name, value in link.facts.items() if value not in (None, "", [])]
        lines += [f"    {c.outcome}: {c.what}{f' ({c.why})' if c.why else ''}" for c in link.checks]
    checks = [check for link in chain for check in link.checks]
    counts = {outcome: sum(c.outcome == outcome for c in checks) for outcome in ("verified", "not checked", "MISMATCH")}
    lines.append(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    return "\n".join(_CONTROL.sub(" ", line) for line in lines)


def _links(store: Store, catalog: Catalog, ledger: LedgerReader | None, identifier: str) -> Iterator[Link]:
    kind, name = _find(catalog, ledger, identifier)
    feature_id = name if kind == "feature" else None
    label_id = name if kind == "label" else None
    if feature_id:
        found = catalog.sql("select label_id from current_labels where feature_id = ?", [feature_id])["label_id"]
        label_id = found[0] if len(found) else None
        if label_id is None:
            yield Link("label", "none", {}, (unchecked("label", "the feature has no label in force"),))
    dictionary_id = name
    if label_id:
        links = list(label_links(catalog, ledger, label_id))
        yield from links
        feature_id = feature_id or str(links[0].facts["feature"])
    if feature_id:
        dictionary_id = feature_id.rpartition(":")[0]
    rows = catalog.sql("select * from dictionaries where dictionary_id = ?", [dictionary_id]).to_dicts()
    if not rows:
        why = "another one has replaced it, and the catalog tells of current ones only"
        yield Link("dictionary", dictionary_id, {}, (unchecked("dictionary", why),))
        return
    provenance: Mapping[str, Any] = json.loads(rows[0]["provenance"])
    if label_id:
        yield from evidence_links(store, catalog, ledger, label_id, provenance)
    if feature_id:
        yield feature_link(store, catalog, feature_id, f"{rows[0]['site']}.{rows[0]['recipe']}")
    yield from dictionary_links(store, rows[0], catalog, provenance)


def _find(catalog: Catalog, ledger: LedgerReader | None, name: str) -> tuple[str, str]:
    """What an id names: (label, feature or dictionary; its whole id)."""
    if ":" in name:
        if catalog.sql("select 1 from features where feature_id = ?", [name]).is_empty():
            raise AtlasError(f"No feature {name!r} in this catalog.")
        return "feature", name
    wanted = "starts_with({0}, ?)" if len(name) >= _LEAST_PREFIX else "{0} = ?"
    found = {
        (kind, row)
        for kind in ("dictionary", "label")
        for row in catalog.sql(
            f"select {kind}_id from {_TABLES[kind]} where {wanted.format(f'{kind}_id')} limit 5", [name]
        ).to_series()
    }
    if ledger and len(name) >= _LEAST_PREFIX:
        found |= {("label", label) for label in ledger.labels_named(name)}
    exact = [one for one in found if one[1] == name]
    if len(exact or found) > 1:
        raise AtlasError(f"{name!r} begins the ids of {', '.join(sorted(i for _, i in found))}: give more of it.")
    if not found:
        raise AtlasError(f"Nothing in this catalog is called {name!r}: give a feature's, label's or dictionary's id.")
    return (exact or sorted(found))[0]


_TABLES = {"dictionary": "dictionaries", "label": "labels"}


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, (list, dict)) else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}…"
