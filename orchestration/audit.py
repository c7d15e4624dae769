"""Where a label, a feature or a dictionary came from: the chain up to the corpus and the model, each hash verified.

label ← reply ← prompt ← examples ← documents ← feature ← dictionary ← recipe ← activations ← shards ← model
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestration.provenance.dictionaries import dictionary_links, feature_link
from orchestration.provenance.downstream import Came
from orchestration.provenance.evidence import evidence_links
from orchestration.provenance.identify import identify
from orchestration.provenance.labels import label_links
from orchestration.provenance.link import Link, unchecked
from orchestration.provenance.records import LedgerReader, open_ledger
from sae.catalog import Catalog
from sae.storage import Store

UPWARDS = ("feature", "label", "dictionary")
"""What has a chain to follow."""
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
    kind, name = identify(catalog, ledger, identifier, UPWARDS)
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


def print_report(kind: str, name: str, facts: Mapping[str, Any], found: Sequence[Came], most: int) -> str:
    """What came of something, as text: how many things of each sort, and the first `most` of them."""
    lines = [f"{kind} {name}"]
    lines += [f"    {key}: {_short(value)}" for key, value in facts.items() if value not in (None, "", [])]
    for came in found:
        lines.append(f"→ {len(came.rows):,} {came.what}")
        lines += [f"    {'  '.join(_plain(value) for value in row.values())}" for row in came.rows[:most]]
        if (left := len(came.rows) - most) > 0:
            lines.append(f"    … and {left:,} more (--json prints all)")
    return "\n".join(_CONTROL.sub(" ", line) for line in lines)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "–" if value is None else f"{value:.3g}" if isinstance(value, float) else _short(value)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, (list, dict)) else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}…"
