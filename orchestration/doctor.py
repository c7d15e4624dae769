"""Is everything there: packages, config, store, catalog? Each finding says what is wrong and what to do."""

import importlib.metadata
import shutil
from collections.abc import Callable
from dataclasses import dataclass

from sae.config import Workspace, load_workspace
from sae.errors import AtlasError
from sae.storage import Store

_PACKAGES = ("torch", "transformers", "dagster", "duckdb", "polars", "streamlit", "openai")
_FREE_GB = 2


@dataclass(frozen=True)
class Finding:
    """One thing examined."""

    what: str
    ok: bool
    detail: str


def examine() -> list[Finding]:
    """Examine the installation and the workspace; a broken config ends the list."""
    findings = [_package(name) for name in _PACKAGES]
    try:
        workspace = load_workspace()
    except AtlasError as error:
        return [*findings, Finding("config", False, str(error))]
    findings.append(Finding("config", True, str(workspace.path)))
    return [
        *findings,
        _disk(workspace),
        _tried("store", lambda: _store(workspace)),
        _tried("catalog", lambda: _catalog(workspace)),
    ]


def _package(name: str) -> Finding:
    try:
        return Finding(name, True, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, False, f"not installed: `pip install {name}`")


def _disk(workspace: Workspace) -> Finding:
    folder = next(path for path in [workspace.state, *workspace.state.parents] if path.exists())
    free = shutil.disk_usage(folder).free / 1e9
    return Finding("disk", free >= _FREE_GB, f"{free:.1f} GB free at {folder}, {_FREE_GB} wanted")


def _tried(what: str, examine_it: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, examine_it())
    except AtlasError as error:
        return Finding(what, False, str(error))


def _store(workspace: Workspace) -> str:
    store = Store(workspace.store)
    if not store.exists("SCHEMA"):
        return f"{workspace.store} is empty: `atlas run` fills it"
    store.check_schema()
    size = sum(file.size for file in store.walk().values())
    return f"{workspace.store}, {size / 1e6:,.0f} MB"


def _catalog(workspace: Workspace) -> str:
    from sae.catalog import open_catalog

    with open_catalog(Store(workspace.store)) as catalog:
        features = catalog.sql("select count(*) from features").item()
        return f"{catalog.version}, {features:,} features"
