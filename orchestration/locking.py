"""The writer's lock of a workspace: one process writes at a time."""

import contextlib
from collections.abc import Iterator

from filelock import FileLock, Timeout

from sae.config import Workspace
from sae.errors import AtlasError


def writer_lock(workspace: Workspace) -> FileLock:
    """The one lock of a workspace's writers; taken again by its holder at no cost."""
    workspace.state.mkdir(parents=True, exist_ok=True)
    return FileLock(workspace.state / "lock", is_singleton=True)


def taken(workspace: Workspace, wait_s: float = 0.0) -> FileLock:
    """The lock, held: release it. Raises AtlasError where another writer holds it for longer than `wait_s` seconds."""
    lock = writer_lock(workspace)
    try:
        lock.acquire(timeout=wait_s)
    except Timeout as error:
        raise AtlasError(f"Another run writes to this store (lock {lock.lock_file}). Wait until it is done.") from error
    return lock


@contextlib.contextmanager
def writing(workspace: Workspace, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the lock as long as the block lasts. Raises AtlasError as `taken` does."""
    lock = taken(workspace, wait_s)
    try:
        yield
    finally:
        lock.release()
