"""Where a label, a feature or a dictionary came from: the chain up to the corpus shards, each hash verified."""

import json
from typing import Any

from sae.catalog import Catalog
from sae.errors import AtlasError
from sae.storage import Store, StoredFile


def audit_chain(store: Store, catalog: Catalog, identifier: str) -> list[dict[str, Any]]:
    """The links of the chain, what was asked for first, the model last.

    A link has `what`, `id`, `facts`, and `verified`: True or False where its files' hashes were compared with the
    recorded ones, None where it has none. Raises AtlasError where the catalog holds no such id.
    """
    links: list[dict[str, Any]] = []
    dictionary_id = identifier
    feature_id: str | None = identifier if ":" in identifier else None
    if label := catalog.sql("select * from labels where label_id = ?", [identifier]).to_dicts():
        links.append(_link("label", identifier, label[0]))
        feature_id = label[0]["feature_id"]
        links += _examples(catalog, identifier)
    elif feature_id:
        found = catalog.sql("select * from current_labels where feature_id = ?", [feature_id]).to_dicts()
        links += [_link("label", row["label_id"], row) for row in found]
        links += [link for row in found for link in _examples(catalog, row["label_id"])]
    if feature_id:
        dictionary_id = feature_id.split(":")[0]
        feature = catalog.sql(
            "select feature_id, density, max_activation, is_dead from features where feature_id = ?", [feature_id]
        ).to_dicts()
        if not feature:
            raise AtlasError(f"No feature {feature_id!r} in this catalog.")
        links.append(_link("feature", feature_id, feature[0]))
    return links + _dictionary(store, catalog, dictionary_id, identifier)


def print_chain(chain: list[dict[str, Any]]) -> str:
    """The chain as text, each link with its facts and whether its hash holds."""
    mark = {True: "verified", False: "DAMAGED", None: ""}
    lines = []
    for number, link in enumerate(chain):
        lines.append(f"{'← ' if number else ''}{link['what']} {link['id']}  {mark[link['verified']]}".rstrip())
        lines += [
            f"    {name}: {_short(value)}" for name, value in link["facts"].items() if value not in (None, "", [])
        ]
    return "\n".join(lines)


def _examples(catalog: Catalog, label_id: str) -> list[dict[str, Any]]:
    rows = catalog.sql(
        "select use, example_id, document_id, shard from label_examples join examples using (example_id) "
        "join documents using (document_id) where label_id = ? order by use desc, example_id",
        [label_id],
    )
    if rows.is_empty():
        return []
    facts = {
        "shown": rows.filter(rows["use"] == "shown")["example_id"].to_list(),
        "held_out": rows.filter(rows["use"] == "held_out")["example_id"].to_list(),
        "documents": rows["document_id"].unique(maintain_order=True).to_list(),
        "shards": rows["shard"].unique(maintain_order=True).to_list(),
    }
    return [_link("examples", f"{rows.height} of {label_id}", facts)]


def _dictionary(store: Store, catalog: Catalog, dictionary_id: str, asked: str) -> list[dict[str, Any]]:
    found = catalog.sql(
        "select * exclude (provenance) from dictionaries where dictionary_id = ?", [dictionary_id]
    ).to_dicts()
    if not found:
        raise AtlasError(f"Nothing in this catalog is called {asked!r}: give a feature's, label's or dictionary's id.")
    provenance = json.loads(
        catalog.sql("select provenance from dictionaries where dictionary_id = ?", [dictionary_id]).item()
    )
    links = [
        _link("dictionary", dictionary_id, found[0], _holds(store, provenance["files"].values())),
        _link("recipe", found[0]["recipe"], provenance["recipe_config"]),
    ]
    manifest, documents = provenance["activation_set"], provenance["documents"]
    for entry in manifest["shards"]:
        record = entry["record"]
        files = [file for file in (record["tensors"], record["tokens"], documents[record["shard"]]) if file]
        facts = {
            "split": entry["split"],
            "tokens": record["statistics"]["n_tokens"],
            "activations": record["data_version"],
            "documents": documents[record["shard"]]["sha256"],
        }
        links.append(_link("shard", record["shard"], facts, _holds(store, files)))
    model = provenance["model"]
    row = catalog.sql("select * from models where model_id = ?", [model["model_id"]]).to_dicts()
    return [*links, _link("model", model["model_id"], row[0] if row else model)]


def _holds(store: Store, files: Any) -> bool:
    try:
        for file in files:
            store.verify(StoredFile(**file))
    except AtlasError:
        return False
    return True


def _link(what: str, name: str, facts: dict[str, Any], verified: bool | None = None) -> dict[str, Any]:
    return {"what": what, "id": name, "facts": facts, "verified": verified}


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, (list, dict)) else str(value)
    return text if len(text) <= 200 else f"{text[:197]}…"
