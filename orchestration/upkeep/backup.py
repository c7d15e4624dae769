"""One tar file of a store and its state, and the way back.

The archive holds `store/…`, `state/…` and, last, `manifest.json` with the size and SHA-256 of every member: one that
was cut off has no manifest. SQLite files are copied by SQLite itself, so that a daemon may go on beside it.
"""

import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from orchestration.locking import writing
from orchestration.moments import utc_now
from sae.config import Workspace
from sae.errors import AtlasError
from sae.storage import DAMAGED, TEMPORARY, Store

FORMAT = 1
MANIFEST = "manifest.json"
_PARTS = ("store", "state")
_SQLITE = b"SQLite format 3\x00"
_BESIDE = ("-wal", "-shm", "-journal")
"""Ends of the files that SQLite keeps beside a database; its own copy holds what is in them."""
_OF_PROCESSES = ("lock", "service.lock", "service.json")
"""Files of the state folder that say who runs now, one with a secret."""
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Archive:
    """What was written or read."""

    file: str
    files: int
    size: int
    """Bytes of the members."""
    created_at: str


def back_up(workspace: Workspace, file: Path) -> Archive:
    """Write store and state to a tar file, under the writer's lock; compressed where its name ends in `.gz`.

    Raises AtlasError where the file exists or lies inside what it copies, where the store is remote or empty, and while
    another run writes.
    """
    store = Store(workspace.store)
    if not store.is_local:
        raise AtlasError(f"{workspace.store} is remote: copy it with its own tools, and {workspace.state} beside it.")
    if file.exists():
        raise AtlasError(f"{file} exists. Give another name, or remove it first.")
    if not file.absolute().parent.is_dir():
        raise AtlasError(f"There is no folder {file.absolute().parent}. Make it first.")
    if not store.exists("SCHEMA"):
        raise AtlasError(f"There is nothing to back up in {workspace.store}. `atlas run` fills it.")
    if store.place_of(file) is not None or file.resolve().is_relative_to(workspace.state.resolve()):
        raise AtlasError(f"{file} lies inside what it is a copy of. Give another folder.")
    building = file.with_name(f"{TEMPORARY}{os.getpid()}-{file.name}")
    try:
        with writing(workspace), tarfile.open(building, "w:gz" if file.suffix in (".gz", ".tgz") else "w") as tar:
            written = _write(tar, workspace, file)
        os.replace(building, file)
    except OSError as error:
        raise AtlasError(f"{file} cannot be written: {error}.") from error
    finally:
        building.unlink(missing_ok=True)
    return written


def restore(workspace: Workspace, file: Path) -> Archive:
    """Put back what `back_up` wrote, every hash verified before anything is in its place.

    Raises AtlasError where the store or the state is not empty, and on an archive that is cut off, damaged, of another
    format or schema, or holds anything but plain files under `store/` and `state/`.
    """
    store = Store(workspace.store)
    if not store.is_local:
        raise AtlasError(f"{workspace.store} is remote: restore into a folder and copy that.")
    targets = {"store": store.folder, "state": workspace.state}
    for target in targets.values():
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise AtlasError(f"{target} is not empty. Restore into a new place: name it as `store` and `state`.")
    if not file.is_file():
        raise AtlasError(f"There is no file {file}.")
    folder = targets["store"].parent
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=folder) as staging:
        try:
            with tarfile.open(file, "r") as tar:
                done = _extract(tar, Path(staging), file)
        except (tarfile.TarError, EOFError, OSError, ValueError, KeyError, TypeError) as error:
            raise AtlasError(f"{file} is no whole backup: {' '.join(str(error).split())[:200]}") from error
        Store(f"{staging}/store").check_schema()
        _put(Path(staging), targets)
    return done


def _write(tar: tarfile.TarFile, workspace: Workspace, file: Path) -> Archive:
    manifest: dict[str, dict[str, int | str]] = {}
    for name, path in _members(workspace):
        with _settled(path) as settled, settled.open("rb") as content:
            info = tarfile.TarInfo(name)
            stat = os.fstat(content.fileno())
            info.size, info.mtime, info.mode = stat.st_size, int(path.stat().st_mtime), 0o644
            reader = _Hashing(content)
            tar.addfile(info, reader)
            manifest[name] = {"size": info.size, "sha256": reader.sha.hexdigest()}
    created_at = utc_now()
    whole = json.dumps({"format": FORMAT, "created_at": created_at, "files": manifest}, indent=1).encode()
    info = tarfile.TarInfo(MANIFEST)
    info.size = len(whole)
    tar.addfile(info, io.BytesIO(whole))
    return Archive(str(file), len(manifest), sum(int(entry["size"]) for entry in manifest.values()), created_at)


def _members(workspace: Workspace) -> Iterator[tuple[str, Path]]:
    """Name in the archive and path of every file that is worth keeping."""
    store = Store(workspace.store)
    state = store.place_of(workspace.state)
    roots = {"store": store, "state": Store(str(workspace.state))}
    for part, root in roots.items():
        for path in sorted(root.walk()):
            name = path.rpartition("/")[2]
            if name.startswith(TEMPORARY) or name.endswith(DAMAGED):
                continue
            if part == "store" and state is not None and path.startswith(f"{state}/"):
                continue
            if part == "state" and (path in _OF_PROCESSES or name.endswith(_BESIDE)):
                continue
            yield f"{part}/{path}", root.local(path)


@contextmanager
def _settled(path: Path) -> Iterator[Path]:
    """The file itself; of a SQLite database a copy made by SQLite, at one moment."""
    with path.open("rb") as file:
        is_database = file.read(len(_SQLITE)) == _SQLITE
    if not is_database:
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.db"
        source = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(source, uri=True)) as live, closing(sqlite3.connect(copy)) as still:
            live.backup(still)
        yield copy


class _Hashing(io.RawIOBase):
    """Reads a file and hashes what was read."""

    def __init__(self, file: IO[bytes]):
        self._file = file
        self.sha = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(size)
        self.sha.update(block)
        return block


def _extract(tar: tarfile.TarFile, folder: Path, file: Path) -> Archive:
    found: dict[str, dict[str, int | str]] = {}
    manifest: dict[str, object] | None = None
    for member in tar:
        if member.name == MANIFEST:
            content = tar.extractfile(member)
            manifest = json.loads(content.read()) if content else None
            continue
        if not member.isreg() or PurePosixPath(member.name).parts[:1] not in [(part,) for part in _PARTS]:
            raise ValueError(f"{member.name!r} has no place in it")
        if member.name in found:
            raise ValueError(f"{member.name!r} stands twice")
        tar.extract(member, folder, filter="data")
        path = folder / member.name
        with path.open("rb") as content:
            sha = hashlib.sha256()
            while block := content.read(_BLOCK):
                sha.update(block)
        found[member.name] = {"size": path.stat().st_size, "sha256": sha.hexdigest()}
    if manifest is None:
        raise ValueError("it was cut off, its manifest is missing")
    if manifest["format"] != FORMAT:
        raise ValueError(f"its format is {manifest['format']!r}, this program reads {FORMAT}")
    recorded = manifest["files"]
    if not isinstance(recorded, dict) or recorded.keys() != found.keys():
        raise ValueError("its files are not those of its manifest")
    for name, entry in recorded.items():
        if entry != found[name]:
            raise ValueError(f"{name} is damaged: its hash is not the recorded one")
    size = sum(int(entry["size"]) for entry in found.values())
    return Archive(str(file), len(found), size, str(manifest["created_at"]))


def _put(staging: Path, targets: dict[str, Path]) -> None:
    """Move the two folders to their places, which are empty; the state first where it does not lie in the store."""
    for part in _PARTS:
        (staging / part).mkdir(exist_ok=True)
    store, state = targets["store"], targets["state"]
    inside = store.resolve() in state.resolve().parents
    if inside:
        place = staging / "store" / state.resolve().relative_to(store.resolve())
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(staging / "state", place)
        if state.is_dir():
            state.rmdir()
    for part in ("store",) if inside else ("state", "store"):
        target = targets[part]
        if target.is_dir():
            target.rmdir()
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(staging / part, target)
