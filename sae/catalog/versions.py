"""The catalog's versions in a store: names, `CURRENT`, and the removal of old ones."""

import re

from sae.errors import AtlasError
from sae.storage import Store

FOLDER = "catalog"
CURRENT = f"{FOLDER}/CURRENT"
KEPT = 3
"""How many versions stay for readers that have one open."""
_NAME = re.compile(r"^catalog/catalog-(\d{6,}-[0-9a-f]+)\.duckdb$")
_VERSION = re.compile(r"^(\d{6,}-[0-9a-f]+)$")


def catalog_path(version: str) -> str:
    """Where a version's DuckDB file lies."""
    return f"{FOLDER}/catalog-{version}.duckdb"


def search_folder(version: str) -> str:
    """Where a version's search index lies."""
    return f"{FOLDER}/search-{version}"


def list_versions(store: Store) -> list[str]:
    """All versions, oldest first, published or not."""
    found = [match[1] for path in store.files_in(FOLDER) if (match := _NAME.match(path))]
    return sorted(found, key=_counter)


def named_version(store: Store, name: str) -> str:
    """The version that a name or the beginning of one (its number) means. Raises AtlasError with those there are."""
    versions = list_versions(store)
    found = [version for version in versions if name == version or (name and version.startswith(name))]
    if name.isdecimal():
        found = [version for version in versions if _counter(version) == int(name)] or found
    if len(found) != 1:
        there = ", ".join(versions) or "none"
        raise AtlasError(f"There is no catalog {name!r} in {store.root}. There are: {there}.")
    return found[0]


def next_version(store: Store, content: str) -> str:
    """`<counter>-<content id>`: counters sort versions by age, the id says whether two hold the same."""
    versions = list_versions(store)
    counter = _counter(versions[-1]) + 1 if versions else 1
    return f"{counter:06d}-{content[:8]}"


def current_version(store: Store) -> str:
    """The version that readers open. Raises AtlasError where none is published."""
    if not store.exists(CURRENT):
        raise AtlasError(f"No catalog is published in {store.root}. `atlas run` makes one.")
    version = store.read_bytes(CURRENT).decode("utf-8", "replace").strip()
    if not _VERSION.match(version):
        raise AtlasError(f"{CURRENT} is damaged: {version[:40]!r} is no version. `atlas run` publishes again.")
    return version


def prune(store: Store, kept: int = KEPT) -> list[str]:
    """Remove all but the last `kept` versions and the current one; the removed versions.

    A reader that has a removed file open goes on reading it.
    """
    versions = list_versions(store)
    spared = set(versions[-kept:])
    if store.exists(CURRENT):
        spared.add(current_version(store))
    removed = [version for version in versions if version not in spared]
    for version in removed:
        store.delete(catalog_path(version))
        for path in store.files_in(search_folder(version)):
            store.delete(path)
        if store.is_local and store.exists(search_folder(version)):
            store.local(search_folder(version)).rmdir()
    return removed


def _counter(version: str) -> int:
    return int(version.split("-")[0])
