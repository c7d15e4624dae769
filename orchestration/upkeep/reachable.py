"""What is in force: every file and run that a ref, a kept catalog or the ledger refers to."""

import datetime
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from orchestration.observing import RETIRED_FACT
from orchestration.partitions import PARTITIONED_BY, Cell, Keys
from orchestration.refs import Ref, read_ref
from sae.catalog import open_catalog
from sae.catalog.versions import catalog_path, current_version, list_versions, search_folder
from sae.config.operations import RetentionConfig
from sae.errors import AtlasError
from sae.storage import Store
from sae.table_files import read_table

_FILE = {"path", "size", "sha256"}
_RUNS = ("labels", "label_scores", "requests")
"""Tables of the ledger whose rows name the run that wrote them."""


@dataclass
class Reachable:
    """What stays."""

    paths: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    """Folders of which every file stays."""
    runs: set[str] = field(default_factory=set)
    lapsed: dict[Cell, str] = field(default_factory=dict)
    """Cells whose ref counts no more, and why."""

    def holds(self, path: str) -> bool:
        """Whether a path of the store stays."""
        return path in self.paths or any(path.startswith(f"{folder}/") for folder in self.folders)


def reachable(store: Store, ledger: Path, keys: Keys, retention: RetentionConfig, now: datetime.datetime) -> Reachable:
    """All that is in force in a store.

    Raises AtlasError where a ref is damaged or the current catalog cannot be opened: what they refer to is not known.
    """
    found = Reachable()
    refs = all_refs(store)
    found.lapsed = _lapsed(refs, keys, retention.retired_days, now)
    for cell, ref in refs.items():
        if cell not in found.lapsed:
            _add(found, asdict(ref))
            found.runs.add(ref.run_id)
    for version in kept_versions(store, retention.catalogs):
        _add_catalog(found, store, version)
    found.folders |= {f"dictionaries/{name}" for name in _reviewed(ledger)}
    found.runs |= _ledger_runs(ledger)
    found.paths |= _pictures(store, found.paths)
    return found


def all_refs(store: Store) -> dict[Cell, Ref]:
    """Every ref of a store, those of cells that the config has no more included."""
    refs: dict[Cell, Ref] = {}
    for path in store.walk():
        folder, _, rest = path.partition("/")
        asset, _, name = rest.partition("/")
        if folder == "refs" and name.endswith(".json") and "/" not in name and not name.startswith("."):
            partition = name.removesuffix(".json")
            cell = Cell(asset, None if PARTITIONED_BY.get(asset) == "none" else partition)
            if ref := read_ref(store, cell):
                refs[cell] = ref
    return refs


def files_named(value: Any) -> Iterator[str]:
    """Paths of all files that a JSON-like value records, and of the models and replaced dictionaries that it names."""
    if isinstance(value, Mapping):
        if value.keys() >= _FILE:
            yield str(value["path"])
        for owner, folder in (("model_id", "models"), ("dictionary_id", "dictionaries")):
            if isinstance(value.get(owner), str) and isinstance(value.get("files"), list):
                yield from (f"{folder}/{value[owner]}/{file}" for file in value["files"] if isinstance(file, str))
        for inner in value.values():
            yield from files_named(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from files_named(inner)


def kept_versions(store: Store, number: int) -> list[str]:
    """The versions of the catalog that stay: the last ones that can be opened, and the current one.

    Raises AtlasError where the current one cannot be opened.
    """
    versions = list_versions(store)
    current = current_version(store) if versions else None
    kept = []
    for version in versions:
        if version in versions[-number:] or version == current:
            try:
                open_catalog(store, version).close()
            except AtlasError:
                if version == current:
                    raise
                continue
            kept.append(version)
    return kept


def _lapsed(refs: Mapping[Cell, Ref], keys: Keys, retired_days: float, now: datetime.datetime) -> dict[Cell, str]:
    in_config = {cell for asset in PARTITIONED_BY for cell in keys.cells(asset)}
    lapsed: dict[Cell, str] = {}
    for cell, ref in refs.items():
        if cell in in_config:
            continue
        if PARTITIONED_BY.get(cell.asset) in ("shard", "shard_site"):
            corpus = refs.get(Cell("corpus", str(cell.partition).split("|")[0]))
            since, why = (corpus.facts.get(RETIRED_FACT) if corpus else ref.finished_at), "its shard left the corpus"
        else:
            since, why = ref.finished_at, "the config has no such cell any more"
        if since and (now - datetime.datetime.fromisoformat(since)).total_seconds() > retired_days * 86_400:
            lapsed[cell] = f"{why} ({since[:10]})"
    return lapsed


def _add(found: Reachable, record: Any) -> None:
    found.paths.update(files_named(record))


def _add_catalog(found: Reachable, store: Store, version: str) -> None:
    found.paths.add(catalog_path(version))
    found.folders.add(search_folder(version))
    with open_catalog(store, version) as catalog:
        found.paths.update(catalog.sql("select path from parquet_files")["path"])
        found.paths.update(catalog.sql("select image_path from documents where image_path is not null")["image_path"])
        found.runs.update(catalog.sql("select run_id from runs")["run_id"])
        for name, provenance in catalog.sql(
            "select dictionary_id, provenance from dictionaries where is_current"
        ).iter_rows():
            found.folders.add(f"dictionaries/{name}")
            _add(found, json.loads(provenance))


def _pictures(store: Store, paths: Iterable[str]) -> set[str]:
    """The pictures of the documents that stay."""
    shown: set[str] = set()
    for path in paths:
        if path.startswith("corpora/") and path.endswith(".parquet") and store.exists(path):
            column = read_table(store.local(path), columns=["image_path"])["image_path"]
            shown.update(column.drop_nulls())
    return shown


def _reviewed(ledger: Path) -> set[str]:
    """Dictionaries of which a person wrote or judged a label."""
    from sae.labels.carry import REVIEWER

    return _ledger_column(
        ledger,
        {"labels", "label_reviews"},
        "select dictionary_id from labels where origin = 'human' or label_id in "
        "(select label_id from label_reviews where reviewer <> ?)",
        REVIEWER,
    )


def _ledger_runs(ledger: Path) -> set[str]:
    return {
        run for table in _RUNS for run in _ledger_column(ledger, {table}, f"select distinct run_id from {table}") if run
    }


def _ledger_column(ledger: Path, tables: set[str], query: str, *parameters: str) -> set[str]:
    if not ledger.is_file():
        return set()
    with closing(sqlite3.connect(f"{ledger.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        known = {row[0] for row in connection.execute("select name from sqlite_master where type = 'table'")}
        return {row[0] for row in connection.execute(query, parameters)} if tables <= known else set()
