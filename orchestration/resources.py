"""The resource that every asset takes: the config, the store, and the stage that a body is in."""

import datetime
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl
from filelock import FileLock
from pydantic import PrivateAttr

from orchestration import memory
from orchestration.checks import CHECKS_FACT, Check
from orchestration.lineage_events import LineageEvents
from orchestration.locking import taken
from orchestration.moments import utc_now
from orchestration.partitions import SHARDS, Cell, Keys
from orchestration.pinned import Pinned, device_of, open_subject
from orchestration.progress import LineProgress
from orchestration.recorded import Recorded
from orchestration.refs import Ref, build_key, file_faults, read_ref
from orchestration.sources import SOURCES, observed
from orchestration.spending import spent_usd
from orchestration.table_columns import described, stored_tables, table_metadata
from sae.config import AtlasConfig, Workspace, load_workspace
from sae.errors import AtlasError, DamagedFileError
from sae.storage import Store, StoredFile
from sae.table_files import read_table

if TYPE_CHECKING:
    from sae.labels.ledger import Ledger
    from sae.models.subject import Subject

LOCK_TIMEOUT_S = 600.0
PAYING = ("labels", "label_scores")
"""Assets that may ask a model for money."""


@dataclass(frozen=True)
class Artifact:
    """What a body hands to its IO manager: a value and its record. `kept` is set where nothing had to be made."""

    value: Any
    ref: Ref
    kept: bool = False


class Atlas(dg.ConfigurableResource):
    """Config, store and lock of one workspace. A run holds the writer's lock as long as it lasts."""

    config_path: str = ""
    """The config file; `$ATLAS_CONFIG` or ./atlas.yaml where empty."""
    show_progress: bool = False
    """Whether stages write their progress to the standard error stream."""

    _workspace: Workspace = PrivateAttr()
    _lock: FileLock = PrivateAttr()
    _events: LineageEvents = PrivateAttr()

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Read the config and take the lock. Raises AtlasError when another writer keeps it too long."""
        self._workspace = load_workspace(self.config_path or None)
        section, base = self._workspace.config.openlineage, self._workspace.path.parent
        self._events = LineageEvents(section, base, (context.log or dg.get_dagster_logger()).warning)
        self._lock = taken(self._workspace, LOCK_TIMEOUT_S)

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Give the lock back."""
        self._lock.release()

    @property
    def workspace(self) -> Workspace:
        """The config with the places that it names."""
        return self._workspace

    @property
    def config(self) -> AtlasConfig:
        """The config."""
        return self._workspace.config

    @property
    def store(self) -> Store:
        """The store."""
        return Store(self._workspace.store)

    @property
    def events(self) -> LineageEvents:
        """Where events about what is made go."""
        return self._events

    @property
    def seed(self) -> int:
        """The config's seed."""
        return self._workspace.config.seed

    def scratch(self) -> Path:
        """A new local folder of this run, in the state; one that a kill leaves is removed when a refresh begins."""
        self._workspace.scratch.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=self._workspace.scratch))

    def progress(self, name: str, unit: str) -> Callable[[int, int], None]:
        """Begin a stage of work; the result takes the number of items done and their total."""
        return LineProgress().stage(name, unit) if self.show_progress else lambda done, total: None

    def ref(self, cell: Cell) -> Ref:
        """The ref of an upstream cell. Raises AtlasError where it was never made."""
        found = self.ref_or_none(cell)
        if found is None:
            raise AtlasError(f"{cell} was never made. `atlas run` makes it.")
        return found

    def ref_or_none(self, cell: Cell) -> Ref | None:
        """The ref of a cell, if it was ever made."""
        return read_ref(self.store, cell)

    def subject(self, model: str) -> "Subject":
        """The current model of that name, loaded once."""
        ref = self.ref(Cell("subject_model", model))
        config = self.config.models[model]
        folder, files = f"models/{ref.data_version}", tuple(ref.files)
        return open_subject(self.store, folder, model, files, config.device, config.attention)

    def known_keys(self, context: dg.AssetExecutionContext) -> Keys:
        """The partitions with the shards known now."""
        return Keys(self.config, context.instance.get_dynamic_partitions(SHARDS))

    def dictionary(self, pair: str) -> Pinned:
        """The accepted dictionary of a pair `<site>.<recipe>`. Raises AtlasError where there is none."""
        return self.opened(self.ref(Cell("dictionary", pair)))

    def pinned(self, site: str) -> dict[str, Pinned]:
        """The accepted dictionaries of a site, by `<site>.<recipe>`."""
        cells = [Cell("dictionary", pair) for pair, (of, _) in self.config.pairs().items() if of == site]
        return {str(cell.partition): self.opened(ref) for cell in cells if (ref := self.ref_or_none(cell))}

    def opened(self, ref: Ref) -> Pinned:
        """The dictionary that a ref stands for, with all that it pins; its model runs where the config says."""
        return Pinned(self.store, ref, device_of(self.config, ref.facts))

    def ledger(self) -> "Ledger":
        """The ledger of labels, opened for writing; use it in a `with` block."""
        from sae.labels.ledger import Ledger

        return Ledger(self.workspace.state / "ledger.sqlite")

    def table(self, cell: Cell, name: str) -> pl.DataFrame:
        """One table of an upstream cell."""
        return read_table(self.store.verify(self.ref(cell).files[name]))

    def stages(self, context: dg.AssetExecutionContext) -> "list[Stage]":
        """The stages of a step, none of them begun: every partition of the run, of each asset that it asks for."""
        assets_def, keys = context.assets_def, self.known_keys(context)
        partitions = [None] if assets_def.partitions_def is None else [str(key) for key in context.partition_keys]
        found = []
        for key in sorted(context.selected_asset_keys):
            asset = key.to_user_string()
            cells = [Cell(asset, partition) for partition in partitions]
            parents = sorted(dep.to_user_string() for dep in assets_def.asset_deps[key])
            inputs = wanted_inputs(self.workspace, keys, parents, cells)
            code_version = (assets_def.code_versions_by_key or {}).get(key) or ""
            ledger = self.workspace.state / "ledger.sqlite" if asset in PAYING else None
            found += [Stage(cell, code_version, inputs[cell], context.run_id, self.store, ledger) for cell in cells]
        return found


@dataclass(frozen=True)
class Stage:
    """One cell being made."""

    cell: Cell
    code_version: str
    inputs: dict[str, str]
    run_id: str
    store: Store
    ledger: Path | None = None
    """The ledger, where making the cell may cost money."""
    started_at: str = ""
    spent_before: float = 0.0
    """US dollars that the ledger had counted when it began."""

    def begun(self) -> "Stage":
        """The stage as it begins now: what it takes, and what it costs, counts from here."""
        return replace(self, started_at=utc_now(), spent_before=spent_usd(self.ledger))

    @property
    def partition(self) -> str:
        """The partition of the cell, for assets that have partitions."""
        assert self.cell.partition is not None, self.cell
        return self.cell.partition

    @property
    def build_key(self) -> str:
        """Hash of all that the cell is made from."""
        return build_key(self.cell, self.code_version, self.inputs)

    def kept(self) -> dg.MaterializeResult | None:
        """The artifact with the wanted build key, where it lies there whole: then nothing is made twice."""
        ref = read_ref(self.store, self.cell)
        if ref is None or ref.build_key != self.build_key or file_faults(self.store, ref):
            return None
        try:
            for file in ref.files.values():
                self.store.verify(file)
        except DamagedFileError:
            return None
        return dg.MaterializeResult(
            asset_key=self.cell.asset,
            value=Artifact(None, ref, kept=True),
            data_version=dg.DataVersion(ref.data_version),
            metadata={"used_again": True, **_metadata(ref), **table_metadata(ref, stored_tables(self.store, ref), {})},
            check_results=[Check(**check).result() for check in ref.facts.get(CHECKS_FACT, [])],
        )

    def made(
        self,
        value: Any,
        data_version: str,
        facts: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        checks: Sequence[Check] = (),
        files: Mapping[str, StoredFile] | None = None,
    ) -> dg.MaterializeResult:
        """The result of a body: the value for the IO manager and what Dagster records.

        `files` are those that lie in the store already; an IO manager adds those that it writes.
        """
        ref = Ref(
            asset=self.cell.asset,
            partition=self.cell.partition,
            data_version=data_version,
            build_key=self.build_key,
            code_version=self.code_version,
            inputs=self.inputs,
            files=dict(files or {}),
            facts={**(facts or {}), CHECKS_FACT: [asdict(check) for check in checks]},
            run_id=self.run_id,
            started_at=self.started_at,
            finished_at=utc_now(),
            peak_memory_bytes=memory.peak_bytes(),
            # One process writes at a time: what the ledger counts more than before was paid for this cell.
            cost_usd=spent_usd(self.ledger) - self.spent_before,
        )
        return dg.MaterializeResult(
            asset_key=self.cell.asset,
            value=Artifact(value, ref),
            data_version=dg.DataVersion(data_version),
            metadata={**_metadata(ref), **_used(ref), **_tables(ref, value), **(metadata or {})},
            check_results=[check.result() for check in checks],
        )

    def adopted(self, ref: Ref, facts: Mapping[str, Any]) -> dg.MaterializeResult:
        """The result of a gate: another cell's artifact, files and all, under this cell's name."""
        metadata = {"adopts": str(ref.cell)}
        return self.made(None, ref.data_version, facts={**ref.facts, **facts}, metadata=metadata, files=ref.files)


def wanted_inputs(
    workspace: Workspace, keys: Keys, parents: Sequence[str], cells: Sequence[Cell]
) -> dict[Cell, dict[str, str]]:
    """Version of every cell that each of `cells` is made from, as recorded now; cells never made are left out."""
    recorded = Recorded(Store(workspace.store))
    upstream = {cell: [up for parent in parents for up in keys.upstream(cell, parent)] for cell in cells}
    sources = observed(workspace, {up for ups in upstream.values() for up in ups if up.asset in SOURCES})

    def version(up: Cell) -> str | None:
        if up.asset in SOURCES:
            return sources.get(up)
        return ref.input_version if (ref := recorded.ref(up)) else None

    return {
        cell: {str(up): found for up in ups if (found := version(up)) is not None} for cell, ups in upstream.items()
    }


def _tables(ref: Ref, value: Any) -> dict[str, Any]:
    """What Dagster shows of the tables that a body hands over."""
    frames = value if isinstance(value, Mapping) else {ref.asset: value}
    tables = {name: frame for name, frame in frames.items() if isinstance(frame, pl.DataFrame)}
    columns = {name: described(name, frame.schema) for name, frame in tables.items()}
    return table_metadata(ref, columns, {name: frame.height for name, frame in tables.items()})


def _metadata(ref: Ref) -> dict[str, Any]:
    return {"build_key": ref.build_key, "code_version": ref.code_version, "n_inputs": len(ref.inputs)}


def _used(ref: Ref) -> dict[str, Any]:
    """What making it took."""
    started, finished = (datetime.datetime.fromisoformat(moment) for moment in (ref.started_at, ref.finished_at))
    return {
        "seconds": (finished - started).total_seconds(),
        "peak_memory_mb": (ref.peak_memory_bytes or 0) / 1e6,
        "cost_usd": ref.cost_usd,
    }
