"""Holding the writer's lock for a block of work."""

import contextlib
from collections.abc import Iterator

from filelock import Timeout

from orchestration.resources import writer_lock
from sae.config import Workspace
from sae.errors import AtlasError


@contextlib.contextmanager
def writing(workspace: Workspace) -> Iterator[None]:
    """Hold the writer's lock as long as the block lasts. Raises AtlasError at once where another writer holds it."""
    lock = writer_lock(workspace)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise AtlasError(f"Another run writes to this store (lock {lock.lock_file}). Wait until it is done.") from error
    try:
        yield
    finally:
        lock.release()
