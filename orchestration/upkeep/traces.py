"""Where a store and its state hold the text of a document."""

import html
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import PurePosixPath

import dagster as dg
import duckdb
import polars as pl
from dagster._core.event_api import AssetRecordsFilter

from orchestration.refs import Ref
from orchestration.runner import Session
from orchestration.upkeep.reachable import all_refs
from sae.catalog.versions import CURRENT, catalog_path, list_versions, search_folder
from sae.corpora.forgotten import content_hash
from sae.errors import AtlasError
from sae.labels.redaction import Row, Wanted, rows_holding
from sae.storage import DAMAGED, TEMPORARY, Store
from sae.table_files import read_table, read_table_schema

_LEAST_PREFIX = 4
_WORDS = ("labels", "clusters", "feature_map")
"""Tables whose words come from documents, without saying from which."""
_TELLING = {"corpus": "first_lines", "labels": "first"}
"""Assets whose records in the event log show words of documents, and under what name."""


@dataclass(frozen=True)
class Sought:
    """A document, with all that is known of it."""

    document_ids: frozenset[str]
    """Its ids: one for each corpus that holds the same text and picture."""
    text: str
    picture: str | None
    """Hash of its picture."""
    shards: frozenset[str]
    """The shards that hold or held it."""
    sources: tuple[str, ...]
    """Where it came from, for example files."""

    @property
    def content(self) -> str:
        """What the list of forgotten documents knows it by."""
        return content_hash(self.text, self.picture)


@dataclass(frozen=True)
class Trace:
    """One place that holds its text."""

    kind: str
    """The folder of the store; `ledger`, `event log`; or `outside` for what is not the store's to remove."""
    name: str
    """A path in the store, a row of the ledger, a run."""
    why: str


@dataclass(frozen=True)
class Traces:
    """All places."""

    files: tuple[Trace, ...]
    rows: tuple[Row, ...]
    runs: tuple[Trace, ...]
    outside: tuple[Trace, ...]
    dictionaries: frozenset[str]
    """Dictionaries that were trained or judged on it."""

    def every(self) -> list[Trace]:
        """All of them, as they are listed."""
        rows = [Trace("ledger", f"{row.table} {row.key}", "it was written from the document") for row in self.rows]
        return [*self.files, *rows, *self.runs, *self.outside]


def find_document(store: Store, name: str) -> Sought:
    """The document of an id, or of the beginning of one. Raises AtlasError where there is none, or several."""
    if len(name) < _LEAST_PREFIX:
        raise AtlasError(f"{name!r} is too short: give at least {_LEAST_PREFIX} digits of a document's id.")
    columns = ["document_id", "text", "image_path", "shard", "source"]
    frames = [read_table(store.local(path), columns=columns) for path in _parquet(store, "corpora")]
    documents = pl.concat(frames) if frames else pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
    found = documents.filter(pl.col("document_id").str.starts_with(name))
    ids = found["document_id"].unique().to_list()
    if len(ids) != 1:
        what = f"several documents ({', '.join(sorted(ids)[:5])}): give more of it" if ids else "no document"
        raise AtlasError(
            f'{name!r} begins the id of {what}. `atlas sql "select document_id, text from documents"` lists them.'
        )
    text, image_path = found.row(0)[1:3]
    picture = _picture(image_path)
    same = documents.filter(
        (pl.col("text") == text) & pl.col("image_path").map_elements(_picture, pl.String).eq_missing(picture)
    )
    return Sought(
        frozenset(same["document_id"]),
        text,
        picture,
        frozenset(same["shard"]),
        tuple(sorted(set(same["source"].drop_nulls()) - {""})),
    )


def find_traces(session: Session, sought: Sought) -> Traces:
    """Every place that holds the text of a document, its tokens, activations or picture, or words made from it.

    A file that cannot be read counts where it lies among those that could hold it.
    """
    store = Store(session.workspace.store)
    files = list(_corpus_files(store, sought))
    lengths: set[int] = set()
    files += _activation_files(store, sought, lengths)
    dictionaries = set(_dictionaries(store, {trace.name for trace in files}))
    files += _table_files(store, sought, dictionaries)
    files += _catalogs(store, sought, {trace.name for trace in files})
    files += _unreadable(store)
    wanted = Wanted(sought.document_ids, lengths, sought.text)
    rows = rows_holding(session.workspace.state / "ledger.sqlite", wanted)
    pairs = {str(cell.partition) for cell, ref in all_refs(store).items() if _dictionary_of(ref) in dictionaries}
    runs = _runs(session.instance, sought, pairs)
    return Traces(tuple(files), tuple(rows), tuple(runs), tuple(_outside(session, sought)), frozenset(dictionaries))


def _corpus_files(store: Store, sought: Sought) -> Iterator[Trace]:
    shown_by_others: set[str] = set()
    pictures: set[str] = set()
    for path in _parquet(store, "corpora"):
        documents = read_table(store.local(path), columns=["document_id", "image_path"])
        its = documents["document_id"].is_in(list(sought.document_ids))
        pictures.update(documents.filter(its)["image_path"].drop_nulls())
        shown_by_others.update(documents.filter(~its)["image_path"].drop_nulls())
        if its.any():
            yield Trace("corpora", path, "the document is in it")
    for path in sorted(pictures - shown_by_others):
        if store.exists(path):
            yield Trace("corpora", path, "its picture")


def _activation_files(store: Store, sought: Sought, lengths: set[int]) -> Iterator[Trace]:
    """Tokens and vectors of the shards that hold it; its lengths in tokens are added to `lengths`."""
    for path in _parquet(store, "activations"):
        ids = read_table(store.local(path), columns=["document_id"])["document_id"]
        counted = ids.filter(ids.is_in(list(sought.document_ids))).value_counts()
        if counted.height:
            lengths.update(counted["count"])
            yield Trace("activations", path, "its tokens")
            if store.exists(vectors := path.removesuffix(".parquet") + ".safetensors"):
                yield Trace("activations", vectors, "its activations")


def _dictionaries(store: Store, paths: set[str]) -> Iterator[str]:
    """Dictionaries that were made from one of these files."""
    for path in store.walk():
        parts = path.split("/")
        if len(parts) == 3 and parts[0] == "dictionaries" and parts[2] == "provenance.json":
            documents = json.loads(store.read_bytes(path)).get("documents", {})
            if any(file["path"] in paths for file in documents.values()):
                yield parts[1]
    for ref in all_refs(store).values():
        if ref.asset in ("dictionary", "dictionary_candidate") and any(
            file["path"] in paths for file in ref.facts.get("documents", {}).values()
        ):
            yield ref.data_version


def _table_files(store: Store, sought: Sought, dictionaries: set[str]) -> Iterator[Trace]:
    for path in _parquet(store, "tables"):
        _, table, name = path.split("/")
        columns = read_table_schema(store.local(path))
        if "document_id" in columns:
            ids = read_table(store.local(path), columns=["document_id"])["document_id"]
            if ids.is_in(list(sought.document_ids)).any():
                yield Trace("tables", path, "it shows the document")
        elif table in _WORDS and name.split("-")[0] in dictionaries:
            yield Trace("tables", path, "its words come from the documents of a dictionary that read this one")


def _catalogs(store: Store, sought: Sought, paths: set[str]) -> Iterator[Trace]:
    current = store.read_bytes(CURRENT).decode("utf-8", "replace").strip() if store.exists(CURRENT) else None
    for version in list_versions(store):
        why = _catalog_holds(store, version, sought, paths)
        if why:
            index = store.files_in(search_folder(version))
            yield from (Trace("catalog", path, why) for path in [catalog_path(version), *index])
            if version == current:
                yield Trace("catalog", CURRENT, "it names a catalog that goes")


def _catalog_holds(store: Store, version: str, sought: Sought, paths: set[str]) -> str | None:
    try:
        with closing(duckdb.connect(str(store.local(catalog_path(version))), read_only=True)) as catalog:
            marks = ", ".join("?" * len(sought.document_ids))
            query = f"select count(*) from documents where document_id in ({marks})"
            (number,) = catalog.execute(query, sorted(sought.document_ids)).fetchall()[0]
            named = {row[0] for row in catalog.execute("select path from parquet_files").fetchall()}
    except duckdb.Error:
        return "it cannot be opened, so nobody can tell whether it holds the document"
    if number:
        return "the document is in it"
    return "it refers to tables that show the document" if named & paths else None


def _unreadable(store: Store) -> Iterator[Trace]:
    for path in sorted(store.walk()):
        name = PurePosixPath(path).name
        if path.split("/")[0] in ("corpora", "activations", "tables", "catalog") and (
            name.endswith(DAMAGED) or name.startswith(TEMPORARY)
        ):
            yield Trace(path.split("/")[0], path, "it cannot be read, so nobody can tell whether it holds the document")


def _runs(instance: dg.DagsterInstance, sought: Sought, pairs: Iterable[str]) -> Iterator[Trace]:
    """Runs whose records in Dagster's event log show its words."""
    partitions = {"corpus": sorted(sought.shards), "labels": sorted(pairs)}
    told: dict[str, str] = {}
    for asset, name in _TELLING.items():
        if partitions[asset]:
            wanted = AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=partitions[asset])
            for metadata, run_id in _materialisations(instance, wanted):
                if name in metadata:
                    told[run_id] = f"what it recorded of {asset} shows documents"
    return (Trace("event log", run_id, why) for run_id, why in told.items())


def _materialisations(
    instance: dg.DagsterInstance, wanted: AssetRecordsFilter
) -> Iterator[tuple[Mapping[str, object], str]]:
    cursor: str | None = None
    while True:
        found = instance.fetch_materializations(wanted, limit=200, cursor=cursor)
        for record in found.records:
            if record.asset_materialization:
                yield record.asset_materialization.metadata, record.run_id
        if not found.has_more:
            return
        cursor = found.cursor


def _outside(session: Session, sought: Sought) -> Iterator[Trace]:
    """What is not the store's: the corpus's own source, and what the config itself says."""
    for source in sought.sources:
        yield Trace("outside", source, "the corpus's source still holds it; it is left out from now on")
    said = html.unescape(session.workspace.path.read_text("utf-8"))
    if len(sought.text.strip()) > _LEAST_PREFIX and sought.text in said:
        yield Trace("outside", session.workspace.path.name, "the config says the same words, as a prompt for example")


def _dictionary_of(ref: Ref) -> str | None:
    return ref.data_version if ref.asset == "dictionary" else ref.facts.get("dictionary_id")


def _parquet(store: Store, folder: str) -> list[str]:
    return sorted(
        path
        for path in store.walk()
        if path.startswith(f"{folder}/") and path.endswith(".parquet") and TEMPORARY not in path
    )


def _picture(image_path: str | None) -> str | None:
    return None if image_path is None else PurePosixPath(image_path).stem
