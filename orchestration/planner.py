"""The one planner: what is missing or stale, and why, from what is recorded now.

By level, not by remembered events: for every cell the inputs wanted now (versions of the observed sources and of the
upstream cells) are held against those recorded in its ref, whose files must be there in their size. It keeps no state,
so a killed run or a missed tick loses no change. Only a cell's direct inputs count: whether what lies further down must
be made again shows when its own inputs have been made, and a result that came out the same stops there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from orchestration.partitions import Cell, Keys
from orchestration.recorded import Recorded
from orchestration.refs import Ref, build_key
from orchestration.retraining import held_back
from orchestration.sources import SOURCES
from sae.storage import Store

State = Literal["fresh", "missing", "stale", "waiting", "lost"]


@dataclass(frozen=True)
class Standing:
    """How one cell stands.

    `fresh` with a reason: its policy leaves it as it is. `waiting`: an upstream cell must be made first. `lost`: it was
    given up in this run, or needs one that was.
    """

    cell: Cell
    state: State
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Graph:
    """The assets in topological order, with their parents and code versions."""

    parents: Mapping[str, Sequence[str]]
    code_versions: Mapping[str, str]

    @property
    def assets(self) -> list[str]:
        """Names of the assets that are made, upstream first."""
        return list(self.code_versions)


@dataclass(frozen=True)
class Plan:
    """The standing of every cell."""

    standings: tuple[Standing, ...]
    refs: Mapping[Cell, Ref]
    keys: Keys
    """The partitions that were looked at."""

    def ready(self) -> list[Standing]:
        """The cells that can be made now: missing or stale, and nothing upstream of them is."""
        return [standing for standing in self.standings if standing.state in ("missing", "stale")]

    def of(self, *states: State) -> list[Standing]:
        """The cells in these states."""
        return [standing for standing in self.standings if standing.state in states]


def plan(
    keys: Keys, graph: Graph, store: Store, observed: Mapping[Cell, str], given_up: frozenset[Cell] = frozenset()
) -> Plan:
    """Find the standing of every cell.

    `observed` holds the version of each source cell. Cells in `given_up` (they failed, or are gates with nothing to
    give) are not tried again; what needs them is lost too, but a stage that gathers many cells goes on without them.
    """
    refs: dict[Cell, Ref] = {}
    recorded = Recorded(store)
    standings: dict[Cell, Standing] = {}
    for asset in graph.assets:
        for cell in keys.cells(asset):
            if ref := recorded.ref(cell):
                refs[cell] = ref
            if cell in given_up:
                standings[cell] = Standing(cell, "lost", ("it was tried and gave nothing",))
                continue
            standings[cell] = _standing(cell, keys, graph, recorded, refs, standings, observed)
    return Plan(tuple(standings.values()), refs, keys)


def _standing(
    cell: Cell,
    keys: Keys,
    graph: Graph,
    recorded: Recorded,
    refs: Mapping[Cell, Ref],
    standings: Mapping[Cell, Standing],
    observed: Mapping[Cell, str],
) -> Standing:
    inputs: dict[str, str] = {}
    waits: list[Cell] = []
    for parent in graph.parents[cell.asset]:
        upstream = keys.upstream(cell, parent)
        if parent in SOURCES:
            inputs.update({str(source): observed[source] for source in upstream})
            continue
        lost = [up for up in upstream if standings[up].state == "lost"]
        if upstream and len(lost) == len(upstream):
            return Standing(cell, "lost", tuple(f"{up} could not be made" for up in lost[:3]))
        waits += [up for up in upstream if standings[up].state not in ("fresh", "lost")]
        inputs.update({str(up): refs[up].input_version for up in upstream if up in refs})
    if waits:
        return Standing(cell, "waiting", tuple(f"waits for {up}" for up in waits[:3]))
    ref = refs.get(cell)
    if ref is None:
        return Standing(cell, "missing", ("it was never made",))
    code_version = graph.code_versions[cell.asset]
    held: str | None = None
    if ref.build_key != build_key(cell, code_version, inputs):
        site = next((up for up in refs if up.asset == "activation_set" and str(up) in inputs), None)
        held = held_back(cell, keys.config, ref, refs[site] if site else None, code_version, inputs)
        if not held:
            return Standing(cell, "stale", why_stale(ref, code_version, inputs))
    candidate = refs.get(Cell("dictionary_candidate", cell.partition))
    if cell.asset == "dictionary" and candidate and told_anew(ref, candidate):
        return Standing(cell, "stale", ("its candidate was made again, to the same weights",))
    if faults := recorded.faults(ref):
        return Standing(cell, "stale", tuple(faults[:3]))
    return Standing(cell, "fresh", (held,) if held else ())


def told_anew(accepted: Ref, candidate: Ref) -> bool:
    """Whether a candidate is the accepted dictionary with other files: its folder tells of another training now."""
    return accepted.data_version == candidate.data_version and accepted.files != candidate.files


def why_stale(ref: Ref, code_version: str, inputs: Mapping[str, str]) -> tuple[str, ...]:
    """What differs between a ref and what is wanted now, in words."""
    reasons = []
    if ref.code_version != code_version:
        reasons.append(f"its code went from version {ref.code_version} to {code_version}")
    reasons += [f"{name} changed" for name in inputs if name in ref.inputs and ref.inputs[name] != inputs[name]]
    reasons += [f"{name} is new" for name in inputs if name not in ref.inputs]
    reasons += [f"{name} is gone" for name in ref.inputs if name not in inputs]
    return tuple(reasons)
