"""Bring a workspace up to date: plan, make what is ready, plan again, until nothing is stale. Each step is a run."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg

from orchestration.alerts import Event, alert, events_of
from orchestration.checks import missed
from orchestration.damage import all_upstream, set_aside_damaged
from orchestration.failures import Failure, failures, interrupted
from orchestration.io_managers import resources
from orchestration.locking import writing
from orchestration.observing import current_keys, register_shards, report_sources
from orchestration.partitions import Cell, Keys
from orchestration.planner import Graph, Plan, plan
from orchestration.ranges import Batch, batches, cell_of, run_partition, run_tags
from orchestration.reaping import REFRESH_TAG, reap_parts
from orchestration.records import TRIGGER_TAG
from orchestration.refs import ref_path
from orchestration.resources import Atlas
from orchestration.sources import SOURCES, observed, shards
from sae.config import CONFIG_VARIABLE, CheckConfig, Workspace
from sae.storage import Store

_MOST_OFTEN = 3
"""How often one refresh makes a cell again because its sources moved on."""
_DAGSTER_YAML = f"""\
telemetry: {{enabled: false}}
concurrency:
  pools: {{default_limit: 1, granularity: run}}
  runs:
    max_concurrent_runs: 2
    tag_concurrency_limits: [{{key: {REFRESH_TAG}, limit: 1}}]
"""


@dataclass
class Outcome:
    """What a refresh did."""

    last: Plan
    """The standing of every cell at its end."""
    made: list[Cell] = field(default_factory=list)
    failed: dict[Cell, str] = field(default_factory=dict)
    """Cells that failed or gave nothing, with the error in words."""
    unsent: list[str] = field(default_factory=list)
    """Alerts that could not be sent, in words."""


@dataclass(frozen=True)
class Session:
    """A workspace opened for planning and running."""

    workspace: Workspace
    definitions: dg.Definitions
    instance: dg.DagsterInstance
    graph: Graph

    def keys(self) -> Keys:
        """The partitions with the shards that the sources have now."""
        return current_keys(self.workspace, self.instance, shards(self.workspace))

    def plan(self, given_up: frozenset[Cell] = frozenset()) -> Plan:
        """The standing of every cell now, by one look at the corpora: a file may go while they are read."""
        listed = shards(self.workspace)
        keys = current_keys(self.workspace, self.instance, listed)
        sources = observed(self.workspace, (cell for name in SOURCES for cell in keys.cells(name)), listed)
        return plan(keys, self.graph, Store(self.workspace.store), sources, given_up)


def open_session(workspace: Workspace) -> Session:
    """Open a workspace: its Dagster instance (made on first use) and the definitions of its config.

    Raises AtlasError where the store has a schema version that this program does not read.
    """
    from orchestration.definitions import defs

    Store(workspace.store).check_schema()
    home = dagster_home(workspace)
    with _config_named(workspace.path):
        definitions = defs()
    return Session(workspace, definitions, dg.DagsterInstance.from_config(str(home)), asset_graph(definitions))


@contextmanager
def _config_named(path: Path) -> Iterator[None]:
    """Name a config in the environment, where the definitions look for it, as long as the block lasts."""
    before = os.environ.get(CONFIG_VARIABLE)
    os.environ[CONFIG_VARIABLE] = str(path)
    try:
        yield
    finally:
        os.environ.pop(CONFIG_VARIABLE)
        if before is not None:
            os.environ[CONFIG_VARIABLE] = before


def dagster_home(workspace: Workspace) -> Path:
    """The folder of Dagster's instance inside the state, with its settings."""
    home = workspace.state / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    settings = home / "dagster.yaml"
    if not settings.exists():
        settings.write_text(_DAGSTER_YAML)
    return home


def asset_graph(definitions: dg.Definitions) -> Graph:
    """Parents and code versions of the assets, in topological order."""
    graph = definitions.resolve_asset_graph()
    parents: dict[str, list[str]] = {}
    versions: dict[str, str] = {}
    for key in graph.toposorted_asset_keys:
        node, name = graph.get(key), key.to_user_string()
        if name not in SOURCES:
            parents[name] = sorted(parent.to_user_string() for parent in node.parent_keys)
            versions[name] = node.code_version or ""
    return Graph(parents, versions)


def refresh(
    session: Session,
    *,
    trigger: str,
    select: Callable[[Cell], bool] = lambda cell: True,
    force: bool = False,
    say: Callable[[str], None] = lambda line: None,
    show_progress: bool = False,
    wait_s: float = 0.0,
) -> Outcome:
    """Make everything that is missing or stale and selected, upstream first. A failed cell does not stop the others.

    What failed, and what a gate kept out, goes to whomever `alerts` names; an alert that fails is said, and kept in the
    outcome, and fails nothing else.

    Raises AtlasError when another writer holds the lock for longer than `wait_s` seconds, or the store has another
    schema version.
    """
    alerts, store = session.workspace.config.alerts, Store(session.workspace.store)
    try:
        outcome = _refresh(session, trigger, select, force, say, show_progress, wait_s)
    except Exception as error:
        for fault in alert(alerts, trigger, [Event("failed", None, None, str(error))]):
            say(f"! {fault}")
        raise
    outcome.unsent = alert(alerts, trigger, events_of(store, outcome.made, outcome.failed))
    for fault in outcome.unsent:
        say(f"! {fault}")
    return outcome


def _refresh(
    session: Session,
    trigger: str,
    select: Callable[[Cell], bool],
    force: bool,
    say: Callable[[str], None],
    show_progress: bool,
    wait_s: float,
) -> Outcome:
    with writing(session.workspace, wait_s):
        store = Store(session.workspace.store)
        store.open_schema()
        store.remove_temporaries()
        shutil.rmtree(session.workspace.scratch, ignore_errors=True)
        reap_parts(session.instance)
        listed = shards(session.workspace)
        register_shards(session.workspace, session.instance, listed)
        report_sources(session.workspace, session.instance, listed)
        if force:
            _forget(session, store, select)
        return _work(session, trigger, select, say, show_progress)


def _work(
    session: Session, trigger: str, select: Callable[[Cell], bool], say: Callable[[str], None], show_progress: bool
) -> Outcome:
    outcome = Outcome(session.plan())
    repaired: Counter[Cell] = Counter()
    while ready := {s.cell: s for s in outcome.last.of("missing", "stale") if select(s.cell)}:
        register_shards(session.workspace, session.instance, outcome.last.keys.shards)
        for batch in batches(list(ready), outcome.last.keys):
            say(f"{', '.join(batch.assets)}{batch.where}: {ready[batch.cells[0]].reasons[0]}")
            made, failed = run_batch(session, batch, trigger, show_progress)
            for cell in batch.cells:
                failure = failed.get(cell)
                if failure and failure.damaged_input and repaired[cell] < _MOST_OFTEN:
                    repaired[cell] += 1
                    if aside := _set_aside(session, outcome.last.keys, cell, select):
                        say(f"! {cell}: {', '.join(aside)} is damaged: set aside, and made again")
                        continue
                if cell in made and outcome.made.count(cell) < _MOST_OFTEN:
                    outcome.made.append(cell)
                    continue
                often = f"it changed {_MOST_OFTEN} times while this ran; run again when its sources are at rest"
                reason = failure.words if failure else _why_nothing(outcome.last, cell, session.workspace.config.checks)
                outcome.failed[cell] = often if cell in made else reason
                say(f"! {cell}: {outcome.failed[cell]}")
        outcome.last = session.plan(frozenset(outcome.failed))
    return outcome


def _set_aside(session: Session, keys: Keys, cell: Cell, select: Callable[[Cell], bool]) -> list[str]:
    """Set aside what is damaged of the files that a cell is made from and that this refresh may make again."""
    upstream = [up for up in all_upstream(keys, session.graph, cell) if select(up)]
    return set_aside_damaged(Store(session.workspace.store), upstream)


def _why_nothing(last: Plan, cell: Cell, thresholds: CheckConfig) -> str:
    """Why a cell gave nothing without an error: the gate says what its candidate missed."""
    candidate = last.refs.get(Cell("dictionary_candidate", cell.partition))
    if cell.asset != "dictionary" or candidate is None:
        return "it gave nothing"
    faults = missed(candidate.facts["quality"], thresholds)
    return f"no dictionary is accepted: candidate {candidate.data_version} misses {faults}"


def run_batch(
    session: Session, batch: Batch, trigger: str, show_progress: bool
) -> tuple[set[Cell], dict[Cell, Failure]]:
    """One Dagster run: the cells made, and why each other one was not.

    Raises KeyboardInterrupt where somebody stopped it: then the refresh ends as well.
    """
    atlas = Atlas(config_path=str(session.workspace.path), show_progress=show_progress)
    result = dg.materialize(
        list(session.definitions.assets or []),  # type: ignore[arg-type]
        selection=batch.assets,
        partition_key=run_partition(batch),
        instance=session.instance,
        resources=resources(atlas),
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        tags={TRIGGER_TAG: trigger} | run_tags(batch),
        raise_on_error=False,
    )
    if interrupted(result):
        raise KeyboardInterrupt
    return {cell_of(event) for event in result.get_asset_materialization_events()}, failures(result, batch.cells)


def _forget(session: Session, store: Store, select: Callable[[Cell], bool]) -> None:
    """Take the refs of the selected cells away, so that they are made again.

    Not the gate's: they hold which dictionary is accepted, and those before it. The gate decides anew where its
    candidate came out as another one. And not of what waits for cells that are not selected: it could not be made.
    """
    found = session.plan()
    held_up = {standing.cell for standing in found.standings if standing.state != "fresh" and not select(standing.cell)}
    for cell in (standing.cell for standing in found.standings if select(standing.cell)):
        waits = not held_up.isdisjoint(all_upstream(found.keys, session.graph, cell))
        if cell.asset != "dictionary" and not waits and store.exists(ref_path(cell)):
            store.delete(ref_path(cell))
