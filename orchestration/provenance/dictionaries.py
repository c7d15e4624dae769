"""From a feature to the corpus: dictionary ← recipe ← activations ← shards ← model, with the hashes of their files."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from orchestration.partitions import Cell
from orchestration.provenance.link import Check, Link, attempted, file_holds, same, unchecked
from orchestration.provenance.made import made_by
from orchestration.refs import read_ref
from orchestration.sources import NO_PART_OF_A_RECIPE
from sae.catalog import Catalog
from sae.identity import content_id, frame_id
from sae.storage import Store, StoredFile
from sae.table_files import read_table


def feature_link(store: Store, catalog: Catalog, feature_id: str, pair: str) -> Link:
    """A feature, held against the table that it is from.

    :param pair: `<site>.<recipe>` of its dictionary
    """
    columns = "feature_id, density, max_activation, mean_activation, is_dead, decoder_norm"
    row = catalog.sql(f"select {columns} from features where feature_id = ?", [feature_id]).to_dicts()[0]
    ref = read_ref(store, Cell("features", pair))
    if ref is None or ref.facts["dictionary_id"] != feature_id.rpartition(":")[0]:
        why = "the record of its table is another dictionary's by now"
        return Link("feature", feature_id, row, (unchecked("table", why),))
    checks = [file_holds(store, file) for file in ref.files.values()]
    if all(check.outcome == "verified" for check in checks):
        tables = {name: read_table(store.local(file.path)) for name, file in ref.files.items()}
        found = content_id({name: frame_id(frame) for name, frame in tables.items()})
        checks.append(same("content of the tables", found, ref.data_version))
        there = tables["features"].filter(pl.col("feature_id") == feature_id).select(columns.split(", ")).to_dicts()
        checks.append(same("catalog and table agree", [row], there))
    facts = row | made_by(catalog, "features", pair, ref.data_version)
    return Link("feature", feature_id, facts, tuple(checks))


def dictionary_links(
    store: Store, row: Mapping[str, Any], catalog: Catalog, provenance: Mapping[str, Any]
) -> Iterator[Link]:
    """The dictionary, its recipe, the activations that it was made from shard by shard, and the model.

    :param row: of the table `dictionaries`
    """
    pair, name = f"{row['site']}.{row['recipe']}", row["dictionary_id"]
    files = {role: StoredFile(**file) for role, file in provenance["files"].items()}
    checks = [file_holds(store, file) for file in files.values()]
    checks.append(attempted("id, from the weights", lambda: _weights(store, row, provenance["recipe_config"])))
    measures = ("architecture", "d_in", "d_sae", "k", "tokens_trained", "fvu", "l0", "dead_fraction", "loss_recovered")
    facts = {"pair": pair, **{measure: row[measure] for measure in measures}, "build_key": row["build_key"]}
    facts |= made_by(catalog, "dictionary_candidate", pair, name) or {
        "run": row["run_id"],
        "made": str(row["created_at"]),
    }
    if parent := provenance.get("parent"):
        facts["trained_from"] = parent["dictionary_id"]
    yield Link("dictionary", name, facts, tuple(checks))

    inputs, manifest = provenance["inputs"], provenance["activation_set"]
    yield _recipe(row["recipe"], provenance["recipe_config"], inputs)
    facts = {name: manifest[name] for name in ("site", "hookpoint", "d_model", "normalisation", "scale")}
    asked = f"activation_set[{row['site']}]"
    made = made_by(catalog, "activation_set", row["site"], inputs.get(asked, ""))
    yield Link("activations", inputs.get(asked, row["site"]), facts | made, (_input(inputs, asked, manifest),))
    for entry in manifest["shards"]:
        yield _shard(store, catalog, row["site"], entry, provenance["documents"])
    yield _model(store, catalog, provenance)


def _recipe(name: str, config: Mapping[str, Any], inputs: Mapping[str, str]) -> Link:
    recipe = {key: value for key, value in config.items() if key not in NO_PART_OF_A_RECIPE}
    return Link("recipe", name, recipe, (_input(inputs, f"recipe_config[{name}]", recipe),))


def _weights(store: Store, row: Mapping[str, Any], recipe: Mapping[str, Any]) -> Check:
    from sae.dictionaries.formats.files import imported_id, neurons_id
    from sae.dictionaries.layout import CONFIG, dictionary_id, load_dictionary

    folder = store.local(f"dictionaries/{row['dictionary_id']}/{CONFIG}").parent
    found = dictionary_id(load_dictionary(folder))
    if recipe["architecture"] == "imported":
        found = imported_id(found, recipe["format"], recipe["files"], row["site"])
    elif recipe["architecture"] == "neurons":
        found = neurons_id(found, row["site"], row["model_id"])
    return same("id, from the weights", found, row["dictionary_id"])


def _input(inputs: Mapping[str, str], name: str, value: Any) -> Check:
    """Whether a value has the hash that was recorded as an input."""
    what = "hash, as the dictionary recorded it"
    if name not in inputs:
        return unchecked(what, "the dictionary recorded no such input")
    return same(what, content_id(value), inputs[name])


def _shard(store: Store, catalog: Catalog, site: str, entry: Mapping[str, Any], documents: Mapping[str, Any]) -> Link:
    record = entry["record"]
    shard, files = record["shard"], [record["tokens"], documents[record["shard"]]]
    checks = [unchecked("vectors", "the site is streamed: they are computed, not stored")]
    if record["tensors"]:
        checks = [file_holds(store, StoredFile(**record["tensors"]))]
    checks += [file_holds(store, StoredFile(**file)) for file in files]
    facts = {
        "split": entry["split"],
        "tokens": record["statistics"]["n_tokens"],
        "activations": record["data_version"],
        "documents": documents[shard]["sha256"],
        **made_by(catalog, "activations", f"{shard}|{site}", record["data_version"]),
    }
    return Link("shard", shard, facts, tuple(checks))


def _model(store: Store, catalog: Catalog, provenance: Mapping[str, Any]) -> Link:
    model = provenance["model"]
    name = model["model_id"]
    row = catalog.sql("select * from models where model_id = ?", [name]).to_dicts()
    ref = read_ref(store, Cell("subject_model", model["name"]))
    checks: list[Check] = [unchecked("files", "their record is another model's by now")]
    if ref and ref.data_version == name:
        checks = [file_holds(store, file) for file in ref.files.values()]
    checks.append(attempted("id, from the weights", lambda: _model_id(store, model)))
    facts = (row[0] if row else dict(model)) | made_by(catalog, "subject_model", model["name"], name)
    return Link("model", name, facts, tuple(checks))


def _model_id(store: Store, model: Mapping[str, Any]) -> Check:
    from sae.models.loading import load_subject

    folder = next(store.local(f"models/{model['model_id']}/{file}") for file in model["files"]).parent
    return same("id, from the weights", load_subject(folder, model["name"]).model_id, model["model_id"])
