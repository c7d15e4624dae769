"""What may go: files and runs that nothing in force refers to, each with the reason, and their removal."""

import datetime
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import dagster as dg

from orchestration.parents import parent_record, training_key
from orchestration.partitions import Cell, Keys
from orchestration.refs import Ref, build_key, ref_path
from orchestration.resources import wanted_inputs
from orchestration.runner import Session, dagster_home
from orchestration.upkeep.event_logs import bytes_of_run, delete_runs
from orchestration.upkeep.reachable import Reachable, all_refs, reachable
from sae.config import RecipeConfig
from sae.errors import AtlasError
from sae.storage import DAMAGED, TEMPORARY, FoundFile, Store

_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_TRAININGS = ("dictionary_candidate", "baseline")
"""Assets whose trainings keep checkpoints, under their build keys."""
_WHY = {
    "corpora": "no version that is kept reads it",
    "activations": "no manifest that is kept needs it",
    "models": "no site or dictionary that is kept reads it",
    "tables": "no artifact in force and no kept catalog reads it",
    "catalog": "older than the versions that are kept, or not to be opened",
}
"""Folders that hold nothing but artifacts, and why a file of them is no longer needed. Other folders are left alone."""


@dataclass(frozen=True)
class Garbage:
    """One thing that may go."""

    kind: str
    """The folder of the store, or `event log`."""
    name: str
    """A path in the store, or a run's id."""
    size: int
    """Bytes."""
    why: str


def find_garbage(session: Session, now: datetime.datetime) -> list[Garbage]:
    """All that may go, by the config's `retention`.

    Raises AtlasError where what is in force cannot be told: an unreadable source, a damaged ref, a current catalog that
    does not open.
    """
    workspace = session.workspace
    store, retention, keys = Store(workspace.store), workspace.config.retention, session.keys()
    in_force = reachable(store, workspace.state / "ledger.sqlite", keys, retention, now)
    files = _files(session)
    _keep_dictionaries(in_force, store, files, retention.dictionaries)
    refs = {ref_path(cell): why for cell, why in in_force.lapsed.items() if cell.asset != "corpus"}
    checkpoints = dict(_checkpoints(session, keys, files, retention.checkpoint_days, now))
    found = []
    for path, file in sorted(files.items()):
        folder, name = path.partition("/")[0], path.rpartition("/")[2]
        if name.startswith(TEMPORARY):
            why = "a run that was killed left it half written"
        elif name.endswith(DAMAGED) and folder in (*_WHY, "dictionaries"):
            why = "damaged and set aside; it was made again"
        elif path in refs or path in checkpoints:
            why = refs.get(path) or checkpoints[path]
        elif folder == "dictionaries" and not in_force.holds(path):
            why = f"superseded or never accepted, and the newest {retention.dictionaries} of those are kept"
        elif folder in _WHY and path != "catalog/CURRENT" and not in_force.holds(path):
            why = _WHY[folder]
        else:
            continue
        found.append(Garbage(folder, path, file.size, why))
    return found + list(_old_runs(session, in_force, retention.run_days, now))


def remove(session: Session, garbage: Iterable[Garbage]) -> None:
    """Remove what was found. Only the holder of the writer's lock may call this."""
    every = list(garbage)
    # Refs first: what a killed removal leaves is garbage to the next one, and no ref names a file that is gone.
    paths = [one.name for one in every if one.kind != "event log"]
    Store(session.workspace.store).delete_all(sorted(paths, key=lambda path: not path.startswith("refs/")))
    delete_runs(session.instance, dagster_home(session.workspace), [o.name for o in every if o.kind == "event log"])


def _files(session: Session) -> dict[str, FoundFile]:
    """The files of the store, the state's left out where it lies inside."""
    store = Store(session.workspace.store)
    state = store.place_of(session.workspace.state)
    return {path: file for path, file in store.walk().items() if state is None or not path.startswith(f"{state}/")}


def _keep_dictionaries(in_force: Reachable, store: Store, files: Mapping[str, FoundFile], number: int) -> None:
    """Keep the newest superseded dictionaries of each site and recipe, with their models."""
    names = {path.split("/")[1] for path in files if path.startswith("dictionaries/") and path.count("/") == 2}
    versions: dict[tuple[str, str], list[tuple[str, str]]] = {}
    models: dict[str, str] = {}
    for name in sorted(names):
        if any(in_force.holds(path) for path in files if path.startswith(f"dictionaries/{name}/")):
            in_force.folders.add(f"dictionaries/{name}")
            continue
        try:
            made = json.loads(store.read_bytes(f"dictionaries/{name}/provenance.json"))
            versions.setdefault((made["site"], made["recipe"]), []).append((made["created_at"], name))
            models[name] = made["model"]["model_id"]
        except (AtlasError, ValueError, KeyError, TypeError):
            continue  # Nobody can say what it is: it was never made whole.
    for found in versions.values():
        for _, name in sorted(found, reverse=True)[:number]:
            in_force.folders |= {f"dictionaries/{name}", f"models/{models[name]}"}


def _checkpoints(
    session: Session, keys: Keys, files: Mapping[str, FoundFile], days: float, now: datetime.datetime
) -> Iterator[tuple[str, str]]:
    """The files of checkpoints that may go, with the reason."""
    trainings: dict[str, list[str]] = {}
    for path in files:
        if path.startswith("checkpoints/") and path.count("/") == 2:
            trainings.setdefault(path.split("/")[1], []).append(path)
    if not trainings:
        return
    refs = all_refs(Store(session.workspace.store))
    finished = {ref.facts.get("build_key", ref.build_key) for ref in refs.values() if ref.asset in _TRAININGS}
    wanted = _wanted_keys(session, keys, refs) - finished
    for key, paths in trainings.items():
        moments = [files[path].modified for path in paths]
        last = max(now.timestamp() if moment is None else moment for moment in moments)
        if key in finished:
            yield from ((path, "its training is finished") for path in paths)
        elif key not in wanted and now.timestamp() - last > days * 86_400:
            yield from ((path, f"nobody went on with its training for {days:g} days") for path in paths)


def _wanted_keys(session: Session, keys: Keys, refs: Mapping[Cell, Ref]) -> set[str]:
    """Keys of the trainings that the config wants now."""
    wanted: set[str] = set()
    config = session.workspace.config
    for asset in _TRAININGS:
        cells: list[Cell] = keys.cells(asset)
        inputs = wanted_inputs(session.workspace, keys, session.graph.parents[asset], cells)
        for cell in cells:
            key = build_key(cell, session.graph.code_versions[asset], inputs[cell])
            recipe = config.dictionaries[config.pairs()[str(cell.partition)][1]]
            if asset == "dictionary_candidate" and isinstance(recipe, RecipeConfig):
                key = training_key(key, parent_record(recipe, refs.get(Cell("dictionary", cell.partition))))
            wanted.add(key)
    return wanted


def _old_runs(session: Session, in_force: Reachable, days: float, now: datetime.datetime) -> Iterator[Garbage]:
    before = now - datetime.timedelta(days=days)
    home = dagster_home(session.workspace)
    records = session.instance.get_run_records(dg.RunsFilter(statuses=_ENDED, created_before=before))
    for record in records:
        run_id = record.dagster_run.run_id
        if run_id not in in_force.runs:
            why = f"the run ended more than {days:g} days ago, and nothing in force was made by it"
            yield Garbage("event log", run_id, bytes_of_run(home, run_id), why)
