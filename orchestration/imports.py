"""Taking in a dictionary from another library: checked, kept under its content's id, and the lines that use it."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestration.partitions import Cell
from orchestration.refs import read_ref
from sae.config import Workspace
from sae.config.imported import Format
from sae.dictionaries.formats.files import files_id, hashes, source_files
from sae.dictionaries.formats.writing import whole_folder
from sae.errors import AtlasError, ConfigError
from sae.storage import Store

FOLDER = "imported"
"""Beside the config, not in the store: a recipe names its source as a path that travels with the config, and what no
ref names may be cleaned out of the store."""


@dataclass(frozen=True)
class Taken:
    """A dictionary's files, kept."""

    source: str
    """The kept folder, relative to the config's."""
    form: str
    d_in: int
    d_sae: int
    k: int | None
    sites: list[str]
    """The sites asked for; or all those whose width is the dictionary's, or not known yet."""
    sha256: dict[str, str]
    """By file name."""

    def lines(self, name: str, kind: Format) -> str:
        """What stands under `dictionaries:` in the config to use it."""
        sites = ", ".join(self.sites)
        return f"  {name}: {{architecture: imported, format: {kind}, source: {self.source}, sites: [{sites}]}}"


def take_dictionary(workspace: Workspace, kind: Format, path: Path, sites: Sequence[str] = ()) -> Taken:
    """Open a dictionary, check it against the sites, and copy its files to `imported/<format>-<id>` by the config.

    Taken twice it is kept once. Raises AtlasError where it cannot be opened or fits no site, ConfigError on a site
    that the config does not have.
    """
    from sae.dictionaries.formats.exchange import read_dictionary

    dictionary = read_dictionary(kind, path).dictionary
    fitting = _fitting(workspace, path, dictionary.d_in, sites)
    files = source_files(kind, path)
    source = f"{FOLDER}/{kind}-{files_id(files)}"
    _keep(files, workspace.path.parent / source)
    return Taken(source, dictionary.form, dictionary.d_in, dictionary.d_sae, dictionary.k, fitting, hashes(files))


def _fitting(workspace: Workspace, path: Path, d_in: int, asked: Sequence[str]) -> list[str]:
    known = [site.name for site in workspace.config.sites]
    if unknown := [site for site in asked if site not in known]:
        raise ConfigError(f"No site {unknown[0]!r}. There are: {', '.join(known)}.")
    store = Store(workspace.store)
    refs = {site: read_ref(store, Cell("hookpoints", site)) for site in asked or known}
    widths = {site: None if ref is None else int(ref.facts["d_model"]) for site, ref in refs.items()}
    others = [f"{site} has {width}" for site, width in widths.items() if width not in (None, d_in)]
    fitting = [site for site, width in widths.items() if width in (None, d_in)]
    if not fitting or (asked and others):
        raise AtlasError(f"{path} reads activations of {d_in} dimensions, but {', '.join(others)}.")
    return fitting


def _keep(files: dict[str, Path], folder: Path) -> None:
    if folder.is_dir():
        kept = {name: folder / name for name in files}
        if all(file.is_file() for file in kept.values()) and hashes(kept) == hashes(files):
            return
        raise AtlasError(f"{folder} exists and does not hold what its name says. Remove it and import again.")
    with whole_folder(folder) as building:
        for name, file in files.items():
            shutil.copyfile(file, building / name)
