"""The store: immutable files under one root, a local folder or an fsspec URL, each written whole or not at all."""

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, cast

import fsspec

from sae.errors import AtlasError, DamagedFileError
from sae.identity import file_sha256

STORE_SCHEMA = 1
"""Version of the layout; another one is refused in words."""
_TEMPORARY = ".writing-"


@dataclass(frozen=True)
class StoredFile:
    """A file of the store: path relative to the root, size in bytes, whole SHA-256."""

    path: str
    size: int
    sha256: str


class Store:
    """Files under one root. Every path is relative to it and may not leave it."""

    def __init__(self, root: str):
        self.root = root.rstrip("/")
        fs, path = cast(tuple[Any, str], fsspec.core.url_to_fs(self.root))
        self._fs = fs
        self._base = path
        self.is_local = "file" in (fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,))

    def exists(self, path: str) -> bool:
        """Whether the file or folder is there."""
        return bool(self._fs.exists(self._full(path)))

    def files_in(self, folder: str) -> list[str]:
        """Paths of the files right inside a folder, sorted; empty where there is no such folder."""
        full = self._full(folder)
        if not self._fs.exists(full):
            return []
        names = (
            PurePosixPath(entry["name"]).name for entry in self._fs.ls(full, detail=True) if entry["type"] == "file"
        )
        return sorted(f"{folder}/{name}" for name in names if not name.startswith(_TEMPORARY))

    def sizes_in(self, folder: str) -> dict[str, int]:
        """Size in bytes of each file right inside a folder, by path; empty where there is no such folder."""
        full = self._full(folder)
        if not self._fs.exists(full):
            return {}
        if self.is_local:
            with os.scandir(full) as entries:
                return {f"{folder}/{entry.name}": entry.stat().st_size for entry in entries if entry.is_file()}
        listed = self._fs.ls(full, detail=True)
        return {f"{folder}/{PurePosixPath(e['name']).name}": int(e["size"]) for e in listed if e["type"] == "file"}

    def sizes_by_folder(self) -> dict[str, int]:
        """Bytes under each folder right below the root."""
        sizes: dict[str, int] = {}
        if self._fs.exists(self._base):
            for name, facts in self._fs.find(self._base, detail=True).items():
                folder, inside, _ = str(name)[len(self._base) :].lstrip("/").partition("/")
                if inside:
                    sizes[folder] = sizes.get(folder, 0) + int(facts["size"])
        return sizes

    def read_bytes(self, path: str) -> bytes:
        """The content of a file. Raises AtlasError where it is missing."""
        try:
            return cast(bytes, self._fs.cat_file(self._full(path)))
        except FileNotFoundError as error:
            raise AtlasError(f"{path} is missing from the store {self.root}. `atlas run` makes it again.") from error

    def write_bytes(self, path: str, data: bytes) -> StoredFile:
        """Write a file atomically."""
        with self.writing(path) as temporary:
            temporary.write_bytes(data)
        return self.describe(path)

    @contextlib.contextmanager
    def writing(self, path: str) -> Iterator[Path]:
        """A temporary local path that becomes `path` when the block ends well, and vanishes when it does not.

        Raises AtlasError on a full disk.
        """
        full = self._full(path)
        folder = Path(full).parent if self.is_local else Path(tempfile.gettempdir())
        temporary = folder / f"{_TEMPORARY}{os.getpid()}-{PurePosixPath(path).name}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            yield temporary
            _sync(temporary)
            if self.is_local:
                os.replace(temporary, full)
            else:
                self._fs.makedirs(str(PurePosixPath(full).parent), exist_ok=True)
                self._fs.put_file(str(temporary), full)
        except Exception as error:
            if _disk_is_full(error):
                raise AtlasError(f"No space left for {path} in {folder}. Free some and run again.") from error
            raise
        finally:
            temporary.unlink(missing_ok=True)

    def local(self, path: str) -> Path:
        """A local path of a file, downloaded first where the store is remote. Raises AtlasError where it is missing."""
        full = self._full(path)
        if self.is_local:
            if not Path(full).exists():
                raise AtlasError(f"{path} is missing from the store {self.root}. `atlas run` makes it again.")
            return Path(full)
        target = Path(tempfile.gettempdir()) / "feature-atlas-cache" / full.lstrip("/")
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f"{_TEMPORARY}{os.getpid()}-{target.name}")
            self._fs.get_file(full, str(temporary))
            os.replace(temporary, target)
        return target

    def describe(self, path: str) -> StoredFile:
        """Size and hash of a file as it lies there now."""
        local = self.local(path)
        return StoredFile(path, local.stat().st_size, file_sha256(local))

    def verify(self, file: StoredFile) -> Path:
        """The local path of a file whose size and hash are as recorded. Raises DamagedFileError naming another one."""
        local = self.local(file.path)
        if local.stat().st_size != file.size or file_sha256(local) != file.sha256:
            raise DamagedFileError(
                f"{file.path} is damaged: its hash is not the recorded one. Delete it and run `atlas run`."
            )
        return local

    def size(self, path: str) -> int | None:
        """Size of a file in bytes; None where it is missing."""
        try:
            return int(self._fs.size(self._full(path)))
        except FileNotFoundError:
            return None

    def set_aside(self, path: str) -> str:
        """Give a damaged file the name that is returned, so that it counts as missing and can still be looked at."""
        aside = f"{path}.damaged"
        self._fs.mv(self._full(path), self._full(aside))
        return aside

    def delete(self, path: str) -> None:
        """Remove a file."""
        self._fs.rm_file(self._full(path))

    def open_schema(self) -> None:
        """Stamp a new store with the layout's version. Raises AtlasError on a store of another version."""
        if not self.exists("SCHEMA"):
            self.write_bytes("SCHEMA", f"{STORE_SCHEMA}\n".encode())
            return
        found = self.read_bytes("SCHEMA").decode("utf-8", "replace").strip()
        if found != str(STORE_SCHEMA):
            raise AtlasError(
                f"The store {self.root} has schema version {found}, this program reads {STORE_SCHEMA}. "
                "Use the matching release, or an empty store."
            )

    def remove_temporaries(self) -> list[str]:
        """Remove what a killed writer left. Only the holder of the writer's lock may call this."""
        if not self.is_local or not Path(self._base).is_dir():
            return []
        left = sorted(Path(self._base).rglob(f"{_TEMPORARY}*"))
        for path in left:
            path.unlink(missing_ok=True)
        return [str(path.relative_to(self._base)) for path in left]

    def _full(self, path: str) -> str:
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts:
            raise AtlasError(f"{path!r} is not a path inside the store.")
        return f"{self._base}/{path}"


def _disk_is_full(error: Exception) -> bool:
    """Polars and safetensors put the system's error into one of their own: only its words are left of it."""
    full = (errno.ENOSPC, errno.EDQUOT)
    return getattr(error, "errno", None) in full or any(os.strerror(number) in str(error) for number in full)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
