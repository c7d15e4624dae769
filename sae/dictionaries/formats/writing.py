"""A folder that stands there whole or not at all."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from sae.errors import AtlasError


@contextlib.contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder that becomes `folder` when the block ends well, and vanishes when it does not.

    Raises AtlasError where `folder` exists or cannot be written.
    """
    if folder.exists():
        raise AtlasError(f"{folder} exists. Give another name, or remove it first.")
    building = folder.with_name(f".writing-{os.getpid()}-{folder.name}")
    try:
        building.mkdir(parents=True)
        yield building
        os.replace(building, folder)
    except OSError as error:
        raise AtlasError(f"{folder} cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
