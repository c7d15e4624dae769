"""The versions of a site and recipe by name: `large` is the current one, `large@1` the one that it replaced."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl

from orchestration.partitions import Cell
from orchestration.pinned import Basis, device_of
from orchestration.predecessors import provenance_of, replaced
from orchestration.refs import read_ref
from sae.config import Workspace
from sae.errors import AtlasError, ConfigError
from sae.storage import Store, StoredFile
from sae.table_files import read_table

if TYPE_CHECKING:
    from sae.dictionaries.dictionary import Dictionary

_LEAST_PREFIX = 4
_BACK = re.compile(r"(?P<name>.+)@(?P<back>\d{1,3})")


@dataclass(frozen=True)
class Version:
    """One dictionary of the store, current or not."""

    store: Store
    dictionary_id: str
    facts: dict[str, Any]
    """What it was made from and how good it is."""
    device: str
    """Where its model runs, as the config says it."""
    tables: dict[str, StoredFile]
    """What was measured of it and is still named: `features`, `evaluation`; empty for a candidate."""
    before: tuple[str, ...] = ()
    """The ids of those that it replaced, the last one first, where it is current."""

    @property
    def pair(self) -> str:
        """`<site>.<recipe>`."""
        return f"{self.facts['site']}.{self.facts['recipe']}"

    @property
    def basis(self) -> Basis:
        """The model, shards and documents that it pins."""
        return Basis(self.store, self.facts, self.device)

    @cached_property
    def dictionary(self) -> "Dictionary":
        """The dictionary itself."""
        from sae.dictionaries.layout import CONFIG, load_dictionary

        return load_dictionary(self.store.local(f"dictionaries/{self.dictionary_id}/{CONFIG}").parent)

    def table(self, name: str) -> pl.DataFrame | None:
        """One of its tables; None where it is not named, or was removed since."""
        file = self.tables.get(name)
        if file is None or not self.store.exists(file.path):
            return None
        return read_table(self.store.verify(file))


def find_version(workspace: Workspace, name: str) -> Version:
    """The version that is called so: by recipe or `<site>.<recipe>`, with `@N` for the N-th before it, or by id.

    The beginning of an id is enough. Raises ConfigError where nothing is called so, or several are.
    """
    pairs = list(workspace.config.pairs())
    match = _BACK.fullmatch(name)
    base, back = (match["name"], int(match["back"])) if match else (name, 0)
    named = [pair for pair in pairs if base == pair or workspace.config.pairs()[pair][1] == base]
    if len(named) > 1:
        raise ConfigError(f"{base!r} is a recipe of several sites: {', '.join(named)}. Give one of these.")
    if named:
        return _of_pair(workspace, named[0], back)
    return _by_id(workspace, name)


def _of_pair(workspace: Workspace, pair: str, back: int) -> Version:
    store = Store(workspace.store)
    ref = read_ref(store, Cell("dictionary", pair))
    if ref is None:
        raise AtlasError(f"No dictionary of {pair} has been accepted yet.")
    records = replaced(ref.facts)
    if back == 0:
        tables = {}
        for name in ("features", "evaluation"):
            measured = read_ref(store, Cell(name, pair))
            if measured and measured.facts.get("dictionary_id") == ref.data_version:
                tables[name] = measured.files[name]
        before = tuple(record["dictionary_id"] for record in records)
        return _version(workspace, ref.data_version, ref.facts, tables, before)
    if back > len(records):
        there = f"{len(records)} before it" if records else "none before it"
        raise ConfigError(f"{pair} has no version @{back}: the current one has {there}.")
    record = records[back - 1]
    tables = {name: StoredFile(**file) for name, file in record.get("tables", {}).items()}
    return _version(workspace, record["dictionary_id"], provenance_of(store, record["dictionary_id"]), tables)


def _by_id(workspace: Workspace, name: str) -> Version:
    store, pairs = Store(workspace.store), list(workspace.config.pairs())
    known: dict[str, Version] = {}
    for pair in pairs:
        if ref := read_ref(store, Cell("dictionary", pair)):
            for back in range(len(replaced(ref.facts)), -1, -1):
                version = _of_pair(workspace, pair, back)
                known[version.dictionary_id] = version
    candidates = (read_ref(store, Cell("dictionary_candidate", pair)) for pair in pairs)
    known |= {
        ref.data_version: _version(workspace, ref.data_version, ref.facts, {})
        for ref in candidates
        if ref and ref.data_version not in known
    }
    found = [one for one in known if one == name or (len(name) >= _LEAST_PREFIX and one.startswith(name))]
    if len(found) != 1:
        what = f"begins the ids of {', '.join(found)}" if found else "names no dictionary"
        raise ConfigError(f"{name!r} {what}. There are: {', '.join(pairs)} (with @1 for the one before), or an id.")
    return known[found[0]]


def _version(
    workspace: Workspace,
    dictionary_id: str,
    facts: dict[str, Any],
    tables: dict[str, StoredFile],
    before: tuple[str, ...] = (),
) -> Version:
    device = device_of(workspace.config, facts)
    return Version(Store(workspace.store), dictionary_id, facts, device, tables, before)
