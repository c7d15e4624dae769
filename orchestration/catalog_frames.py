"""What a catalog is built from: the tables of the current artifacts, and the records of how they were made."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import dagster as dg
import polars as pl

from orchestration.checks import missed
from orchestration.document_files import document_rows
from orchestration.moments import utc_now
from orchestration.observing import RETIRED_FACT
from orchestration.partitions import PARTITIONED_BY, Cell, Keys
from orchestration.predecessors import comparable, provenance_of
from orchestration.records import check_rows, edge_rows, lineage_rows, run_rows
from orchestration.refs import Ref, read_ref
from orchestration.resources import Atlas
from sae.catalog.frames import empty_frame, frame_schema
from sae.catalog.schema import NATIVE_TABLES, PARQUET_TABLES
from sae.identity import canonical_json
from sae.storage import Store, StoredFile
from sae.table_files import read_table

FROM_LEDGER = ("labels", "label_examples", "label_scores", "label_reviews", "label_renewals")
"""Tables that come whole from the ledger: it holds every label ever written, the artifacts only the newest."""


@dataclass(frozen=True)
class CatalogParts:
    """What `build_candidate` takes."""

    frames: dict[str, pl.DataFrame]
    parquet: dict[str, list[StoredFile]]
    facts: dict[str, str]


def catalog_parts(atlas: Atlas, instance: dg.DagsterInstance, keys: Keys) -> CatalogParts:
    """Gather the tables of every current dictionary and site.

    What stands for a dictionary that is not current any more is left out: no row outlives its dictionary.
    """
    store = atlas.store
    refs = current_refs(store, keys)
    accepted = {str(ref.partition): ref for ref in refs if ref.asset == "dictionary"}
    ids = {ref.data_version for ref in accepted.values()}
    artifacts = [ref for ref in refs if ref.facts.get("dictionary_id") in {None, *ids}]
    frames = _native(store, artifacts)
    frames["models"] = _frame("models", [ref.facts for ref in refs if ref.asset == "subject_model"])
    frames["dictionaries"] = _frame("dictionaries", _dictionary_rows(store, keys, accepted))
    frames["dictionary_shards"] = _frame("dictionary_shards", _shard_rows(accepted.values()))
    frames["documents"], frames["shards"] = _corpus(store, refs, accepted.values())
    frames["checks"] = _frame("checks", check_rows(refs))
    thresholds = atlas.config.checks.model_dump()
    frames["thresholds"] = _frame("thresholds", [{"name": name, "value": value} for name, value in thresholds.items()])
    frames["lineage"] = _frame("lineage", lineage_rows(refs))
    frames["lineage_edges"] = _frame("lineage_edges", edge_rows(refs))
    frames["runs"] = _frame("runs", run_rows(instance, {ref.run_id for ref in refs}, _paid(atlas)))
    with atlas.ledger() as ledger:
        frames |= {name: getattr(ledger, name)(sorted(ids)) for name in FROM_LEDGER}
    config = atlas.config.model_dump(mode="json", exclude={"alerts"})  # Readers need not know whom a failure concerns.
    return CatalogParts(frames, _parquet(artifacts), {"config": canonical_json(config)})


def _paid(atlas: Atlas) -> dict[str, float]:
    """US dollars by run."""
    from sae.labels.request_ledger import RequestLedger

    ledger = RequestLedger(atlas.workspace.state / "ledger.sqlite", 0.0)
    try:
        return ledger.spent_by_run()
    finally:
        ledger.close()


def current_refs(store: Store, keys: Keys) -> list[Ref]:
    """The refs of all cells of the config that were made, the catalog's own left out."""
    own = ("catalog_candidate", "catalog")
    cells = [cell for asset in PARTITIONED_BY if asset not in own for cell in keys.cells(asset)]
    return [ref for cell in cells if (ref := read_ref(store, cell))]


def _native(store: Store, artifacts: Iterable[Ref]) -> dict[str, pl.DataFrame]:
    """The small tables that the artifacts hold, those of all dictionaries under each other."""
    parts: defaultdict[str, list[pl.DataFrame]] = defaultdict(list)
    for ref in artifacts:
        for name, file in ref.files.items():
            if name == "feature_map" or (name in NATIVE_TABLES and name not in FROM_LEDGER):
                parts[name].append(read_table(store.verify(file)))
    frames = {name: pl.concat(part, how="vertical_relaxed") for name, part in parts.items()}
    if "features" in frames:
        places = frames.pop("feature_map").select("feature_id", "x", "y", "cluster_id")
        frames["features"] = frames["features"].join(places, on="feature_id", how="left")
    # The same question is asked of every dictionary of a model, the same concept scored in every one.
    return {
        name: frame.unique(maintain_order=True) if name in ("prompts", "concepts") else frame
        for name, frame in frames.items()
    }


def _parquet(artifacts: Iterable[Ref]) -> dict[str, list[StoredFile]]:
    files: defaultdict[str, list[StoredFile]] = defaultdict(list)
    for ref in artifacts:
        for name, file in ref.files.items():
            if name in PARQUET_TABLES:
                files[name].append(file)
    return dict(files)


def _dictionary_rows(store: Store, keys: Keys, accepted: Mapping[str, Ref]) -> list[dict[str, Any]]:
    """The accepted dictionaries, those that they replaced, and the candidates that the gate turned down."""
    rows = [_dictionary_row(ref.data_version, ref.facts, ref.files) for ref in accepted.values()]
    for cell in keys.cells("dictionary_candidate"):
        candidate, gate = read_ref(store, cell), accepted.get(str(cell.partition))
        if candidate and (gate is None or gate.data_version != candidate.data_version):
            rejected = gate.facts.get("rejected", {}) if gate else {}
            judged = rejected.get("candidate") == candidate.data_version
            faults = rejected["because"] if judged else missed(candidate.facts["quality"], keys.config.checks)
            row = _dictionary_row(candidate.data_version, candidate.facts, candidate.files)
            rows.append(row | {"is_current": False, "rejected_because": faults or "the gate has not judged it"})
    for ref in accepted.values():
        rows += _replaced_rows(store, ref)
    # What came back is what it is now, not what it was.
    return list({row["dictionary_id"]: row for row in reversed(rows)}.values())


def _replaced_rows(store: Store, ref: Ref) -> list[dict[str, Any]]:
    """The dictionaries of the same model that a gate let go, each with the one that came after it."""
    rows, after = [], ref.data_version
    for record in comparable(store, ref.facts):
        name = record["dictionary_id"]
        files = {role: StoredFile(**file) for role, file in record.get("stored", {}).items()}
        row = _dictionary_row(name, provenance_of(store, name), files)
        rows.append(row | {"is_current": False, "replaced_by": after})
        after = name
    return rows


def _dictionary_row(name: str, facts: Mapping[str, Any], files: Mapping[str, StoredFile]) -> dict[str, Any]:
    provenance = {name: facts[name] for name in ("model", "activation_set", "documents", "recipe_config", "inputs")} | {
        "files": {role: asdict(file) for role, file in files.items()}
    }
    return {
        **facts,
        **facts["quality"],
        "dictionary_id": name,
        "model_id": facts["model"]["model_id"],
        "is_current": True,
        "provenance": canonical_json(provenance),
    }


def _shard_rows(accepted: Iterable[Ref]) -> list[dict[str, Any]]:
    return [
        {
            "dictionary_id": ref.data_version,
            "shard": entry["record"]["shard"],
            "data_version": entry["record"]["data_version"],
            "split": entry["split"],
        }
        for ref in accepted
        for entry in ref.facts["activation_set"]["shards"]
    ]


def _corpus(store: Store, refs: Sequence[Ref], accepted: Iterable[Ref]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """`documents` and `shards`: all that an accepted dictionary pins, and the corpora as they are now."""
    files = {ref.files["documents"].path: ref.files["documents"] for ref in refs if ref.asset == "corpus"}
    shards = {ref.files["documents"].path: str(ref.partition) for ref in refs if ref.asset == "corpus"}
    now = {ref.files["documents"].path: ref.finished_at for ref in refs if ref.asset == "corpus"}
    replaced = {str(ref.partition): ref.finished_at for ref in refs if ref.asset == "corpus"}
    left = [ref for ref in _shard_refs(store) if RETIRED_FACT in ref.facts]
    retired = {str(ref.partition): ref.facts[RETIRED_FACT] for ref in left}
    made = dict(now)
    tokens: dict[str, StoredFile] = {}
    for ref in accepted:
        for entry in ref.facts["activation_set"]["shards"]:
            file = StoredFile(**ref.facts["documents"][entry["record"]["shard"]])
            files[file.path] = file
            shards[file.path] = entry["record"]["shard"]
            made.setdefault(file.path, ref.facts["documents_made_at"][entry["record"]["shard"]])
            tokens.setdefault(file.path, StoredFile(**entry["record"]["tokens"]))
    frames, rows = [], []
    for path, file in sorted(files.items()):
        frame = document_rows(store, file, tokens.get(path))
        frames.append(frame)
        shard = shards[path]  # An empty shard has no row to tell.
        rows.append(
            {
                "shard": shard,
                "corpus": shard.rsplit("-", 1)[0],
                "sha256": file.sha256,
                "n_documents": frame.height,
                "n_tokens": None if path not in tokens else frame["n_tokens"].sum(),
                "created_at": made[path],
                "retired_at": None if path in now else retired.get(shard) or replaced.get(shard, utc_now()),
            }
        )
    rows += [_retired_row(ref) for ref in left if ref.files["documents"].path not in files]
    if not frames:
        return empty_frame(NATIVE_TABLES["documents"]), empty_frame(NATIVE_TABLES["shards"])
    documents = (
        pl.concat(frames).select(NATIVE_TABLES["documents"].column_names).unique("document_id", maintain_order=True)
    )
    return documents, _frame("shards", rows)


def _shard_refs(store: Store) -> list[Ref]:
    """The refs of all shards that were ever read, retired ones included."""
    names = [path.rpartition("/")[2].removesuffix(".json") for path in store.files_in("refs/corpus")]
    return [ref for name in names if (ref := read_ref(store, Cell("corpus", name)))]


def _retired_row(ref: Ref) -> dict[str, Any]:
    return {
        "shard": ref.partition,
        "corpus": str(ref.partition).rsplit("-", 1)[0],
        "sha256": ref.files["documents"].sha256,
        "n_documents": ref.facts["n_documents"],
        "n_tokens": None,
        "created_at": ref.finished_at,
        "retired_at": ref.facts[RETIRED_FACT],
    }


def _frame(table: str, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows of a table; keys that are no column of it are left out, a column that is no key of any row is null."""
    schema = frame_schema(NATIVE_TABLES[table])
    texts = {name: pl.String if dtype == pl.Datetime else dtype for name, dtype in schema.items()}
    return pl.DataFrame([{name: row.get(name) for name in texts} for row in rows], schema=texts)
