"""Removing a document on request: out of everything that holds its text, and kept out of every later refresh.

The list of forgotten documents comes first and the shards last: whatever kills this on the way, the same command
finds the document again and goes on.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from orchestration.forgotten_list import read_forgotten, write_forgotten
from orchestration.locking import writing
from orchestration.moments import utc_now
from orchestration.observing import RETIRED_FACT
from orchestration.partitions import Cell
from orchestration.refs import WITHDRAWN, read_ref, ref_path, write_ref
from orchestration.runner import Outcome, Session, dagster_home, refresh
from orchestration.sources import listed_shards
from orchestration.upkeep.event_logs import delete_runs, scrub
from orchestration.upkeep.reachable import all_refs, files_named
from orchestration.upkeep.traces import Sought, Trace, Traces, find_traces
from sae.corpora.forgotten import Forgotten
from sae.labels.redaction import redact
from sae.storage import Store
from sae.table_files import read_table


@dataclass(frozen=True)
class Done:
    """What was removed, what the refresh after it did, and what is left."""

    removed: Traces
    outcome: Outcome
    left: list[Trace]
    """Places that still hold it; empty but for what is outside of the store."""


def forget(session: Session, sought: Sought, say: Callable[[str], None] = lambda line: None) -> Done:
    """Remove a document from store and state, then make again what was made from it.

    Readers have no catalog from when it is removed until it is made again, where the current one held the document.
    Raises AtlasError where another run writes, or Dagster's files are in use.
    """
    store = Store(session.workspace.store)
    with writing(session.workspace):
        store.open_schema()
        traces = find_traces(session, sought)
        write_forgotten(store, _listed(session, store, sought))
        redact(session.workspace.state / "ledger.sqlite", traces.rows)
        home = dagster_home(session.workspace)
        delete_runs(session.instance, home, [run.name for run in traces.runs])
        paths = {trace.name for trace in traces.files}
        _withdraw(store, paths, traces.dictionaries)
        store.delete_all(sorted(paths, key=lambda path: path.startswith("corpora/")))
        say(f"removed {len(paths)} files, {len(traces.rows)} rows' words and {len(traces.runs)} runs' logs")
        outcome = refresh(session, trigger="atlas forget", say=say)
        scrub(home)
        left = [trace for trace in find_traces(session, sought).every() if trace.kind != "outside"]
    return Done(traces, outcome, left)


def _listed(session: Session, store: Store, sought: Sought) -> Forgotten:
    """The list with a document more."""
    known, sources = read_forgotten(store), listed_shards(session.workspace)
    shards, emptied = dict(known.shards), dict(known.emptied)
    for shard in sorted(sought.shards & sources.keys()):
        shards[shard] = tuple(sorted({*shards.get(shard, ()), sought.content}))
        ref = read_ref(store, Cell("corpus", shard))
        if ref and store.exists(path := ref.files["documents"].path):
            ids = read_table(store.local(path), columns=["document_id"])["document_id"]
            if ids.is_in(list(sought.document_ids)).all():
                emptied[shard] = sources[shard]
    contents = {sought.content: utc_now(), **known.contents}
    return replace(known, contents=contents, shards=shards, emptied=emptied)


def _withdraw(store: Store, paths: set[str], dictionaries: frozenset[str]) -> None:
    """Take away the refs of what was made from files that go: it is made again, whatever its policy says."""
    for cell, ref in all_refs(store).items():
        concerned = ref.facts.get("dictionary_id") in dictionaries or not paths.isdisjoint(files_named(asdict(ref)))
        if not concerned or (cell.asset == "corpus" and RETIRED_FACT in ref.facts):
            continue
        if cell.asset == "dictionary":
            write_ref(store, replace(ref, asset=WITHDRAWN))
        store.delete(ref_path(cell))
