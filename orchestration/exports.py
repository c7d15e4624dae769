"""Giving out a current dictionary in another library's layout."""

import shutil
from pathlib import Path

from orchestration.pinned import Pinned
from sae.config.imported import Format


def export_dictionary(pinned: Pinned, kind: Format, folder: Path) -> None:
    """Make `folder` with the dictionary in a format; SAELens' is what the store holds, provenance and densities too.

    Raises AtlasError where the folder exists, or the format has no such dictionary.
    """
    from sae.dictionaries.formats.exchange import write_dictionary
    from sae.dictionaries.formats.writing import whole_folder

    if kind != "saelens":
        write_dictionary(kind, pinned.dictionary, folder)
        return
    with whole_folder(folder) as building:
        for name, file in pinned.ref.files.items():
            shutil.copyfile(pinned.store.verify(file), building / name)
