"""The store: immutable files under one root, a local folder or an fsspec URL, each written whole or not at all."""

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, cast

import fsspec

from sae.errors import AtlasError, DamagedFileError
from sae.identity import file_sha256
from sae.local_copies import LocalCopies

STORE_SCHEMA = 2
"""Version of the layout. 2 has the list of forgotten documents, which a program of version 1 would bring back."""
_READ_AS_IT_IS = ("1",)
"""Older versions of which nothing has to be moved: what they lack is empty. Others are refused in words."""
TEMPORARY = ".writing-"
"""How the name of a file begins that is being written."""
DAMAGED = ".damaged"
"""How the name of a damaged file ends that was set aside."""


@dataclass(frozen=True)
class StoredFile:
    """A file of the store: path relative to the root, size in bytes, whole SHA-256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class FoundFile:
    """A file as it lies there: bytes, and when it was last written (seconds since 1970; None where nobody knows)."""

    size: int
    modified: float | None


class Store:
    """Files under one root. Every path is relative to it and may not leave it."""

    def __init__(self, root: str):
        self.root = root.rstrip("/")
        fs, path = cast(tuple[Any, str], fsspec.core.url_to_fs(self.root, **_listing_anew(self.root)))
        self._fs = fs
        self._base = path
        protocols = fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,)
        self.is_local = "file" in protocols
        self._copies = LocalCopies(protocols[0], fs.storage_options)

    @property
    def folder(self) -> Path:
        """The root of a local store, also where it was given as `file://…`."""
        return Path(self._base)

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
        return sorted(f"{folder}/{name}" for name in names if not name.startswith(TEMPORARY))

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

    def walk(self) -> "dict[str, FoundFile]":
        """Every file of the store by path, temporaries included; folders that are links are not entered."""
        if not self.is_local:
            found = self._fs.find(self._base, detail=True) if self._fs.exists(self._base) else {}
            return {str(name)[len(self._base) :].lstrip("/"): _remote_file(facts) for name, facts in found.items()}
        files: dict[str, FoundFile] = {}
        for folder, _, names in os.walk(self._base):
            for name in names:
                stat = os.lstat(path := os.path.join(folder, name))
                files[os.path.relpath(path, self._base)] = FoundFile(stat.st_size, stat.st_mtime)
        return files

    def place_of(self, path: Path) -> str | None:
        """A local path as a path of the store; None where it does not lie inside."""
        root = self.folder.resolve()
        inside = self.is_local and path.resolve() != root and path.resolve().is_relative_to(root)
        return path.resolve().relative_to(root).as_posix() if inside else None

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
            raise self._missing(path) from error

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
        target = Path(full) if self.is_local else self._copies.of(full)
        folder = target.parent
        temporary = _beside(target)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            yield temporary
            _sync(temporary)
            if not self.is_local:
                self._fs.makedirs(str(PurePosixPath(full).parent), exist_ok=True)
                self._fs.put_file(str(temporary), full)
            os.replace(temporary, target)
        except Exception as error:
            if _disk_is_full(error):
                raise AtlasError(f"No space left for {path} in {folder}. Free some and run again.") from error
            raise
        finally:
            temporary.unlink(missing_ok=True)

    def local(self, path: str) -> Path:
        """A local path of a file, downloaded first where the store is remote. Raises AtlasError where it is missing.

        A copy that was downloaded before is taken as it is: `verify` tells whether it is what is wanted.
        """
        full = self._full(path)
        target = Path(full) if self.is_local else self._copies.of(full)
        if not target.exists():
            if self.is_local:
                raise self._missing(path)
            temporary = _beside(target)
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                self._fs.get_file(full, str(temporary))
                os.replace(temporary, target)
            except FileNotFoundError as error:
                raise self._missing(path) from error
            finally:
                temporary.unlink(missing_ok=True)
        return target

    def describe(self, path: str) -> StoredFile:
        """Size and hash of a file as it lies there now."""
        local = self.local(path)
        return StoredFile(path, local.stat().st_size, file_sha256(local))

    def verify(self, file: StoredFile) -> Path:
        """The local path of a file whose size and hash are as recorded. Raises DamagedFileError naming another one.

        A copy of a remote file that is another one is downloaded again first: a second machine may have written anew.
        """
        local = self.local(file.path)
        if not (same := _is(local, file)) and not self.is_local:
            local.unlink(missing_ok=True)
            same = _is(self.local(file.path), file)
        if not same:
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
        aside = f"{path}{DAMAGED}"
        self._fs.mv(self._full(path), self._full(aside))
        self._drop_copy(path)
        return aside

    def delete(self, path: str) -> None:
        """Remove a file."""
        self._fs.rm_file(self._full(path))
        self._drop_copy(path)

    def delete_all(self, paths: Iterable[str]) -> None:
        """Remove files, and the folders that are left empty."""
        folders = set()
        for path in paths:
            self.delete(path)
            folders.update(PurePosixPath(path).parents)
        for folder in sorted(folders, key=lambda folder: -len(folder.parts)) if self.is_local else ():
            full = Path(self._full(str(folder))) if folder.parts else None
            if full and full.is_dir() and not full.is_symlink() and not any(full.iterdir()):
                full.rmdir()

    def open_schema(self) -> None:
        """Stamp a new store with the layout's version, and one of an older version that this program takes over.

        Raises AtlasError on a store of another version. Only the holder of the writer's lock may call this.
        """
        if self.check_schema() != str(STORE_SCHEMA):
            self.write_bytes("SCHEMA", f"{STORE_SCHEMA}\n".encode())

    def check_schema(self) -> str | None:
        """The layout's version, None of a new store. Raises AtlasError where this program does not read it."""
        if not self.exists("SCHEMA"):
            return None
        found = self.read_bytes("SCHEMA").decode("utf-8", "replace").strip()
        if found not in (*_READ_AS_IT_IS, str(STORE_SCHEMA)):
            newer = found.isdecimal() and int(found) > STORE_SCHEMA
            what = "a newer release wrote it: use that one" if newer else "it is no version that is taken over"
            raise AtlasError(
                f"The store {self.root} has schema version {found[:20]}, this program reads {STORE_SCHEMA}: {what}, "
                "or an empty store."
            )
        return found

    def remove_temporaries(self) -> list[str]:
        """Remove what a killed writer left. Only the holder of the writer's lock may call this."""
        if not self.is_local or not Path(self._base).is_dir():
            return []
        left = sorted(Path(self._base).rglob(f"{TEMPORARY}*"))
        for path in left:
            path.unlink(missing_ok=True)
        return [str(path.relative_to(self._base)) for path in left]

    def _drop_copy(self, path: str) -> None:
        if not self.is_local:
            self._copies.of(self._full(path)).unlink(missing_ok=True)

    def _missing(self, path: str) -> AtlasError:
        return AtlasError(f"{path} is missing from the store {self.root}. `atlas run` makes it again.")

    def _full(self, path: str) -> str:
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts:
            raise AtlasError(f"{path!r} is not a path inside the store.")
        return f"{self._base}/{path}"


def _listing_anew(root: str) -> dict[str, bool]:
    """Options under which a file system lists a folder each time: kept without end, a listing hides what others write.

    SFTP keeps none, and hands every option on to its client, which knows no such one.
    """
    return {} if root.startswith(("sftp://", "ssh://")) else {"use_listings_cache": False}


def _beside(target: Path) -> Path:
    """Where a file is written before it gets its name."""
    return target.with_name(f"{TEMPORARY}{os.getpid()}-{target.name}")


def _is(local: Path, file: StoredFile) -> bool:
    return local.stat().st_size == file.size and file_sha256(local) == file.sha256


def _disk_is_full(error: Exception) -> bool:
    """Polars and safetensors put the system's error into one of their own: only its words are left of it."""
    full = (errno.ENOSPC, errno.EDQUOT)
    return getattr(error, "errno", None) in full or any(os.strerror(number) in str(error) for number in full)


def _remote_file(facts: dict[str, Any]) -> FoundFile:
    moment = facts.get("mtime") or facts.get("LastModified") or facts.get("created")
    return FoundFile(int(facts["size"]), moment.timestamp() if isinstance(moment, datetime) else moment)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
