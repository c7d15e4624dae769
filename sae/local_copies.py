"""Copies of a remote store's files on this machine, in a folder that none but its user can enter."""

import os
import stat
import tempfile
from pathlib import Path
from typing import Any

from sae.errors import AtlasError
from sae.identity import content_id

_WHERE = ("endpoint_url", "client_kwargs", "profile", "host", "port", "username", "account_name", "base_url")
"""Options of a file system that say which server it speaks to; secrets are none of them."""
_WHERE_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_PROFILE", "STORAGE_EMULATOR_HOST")


class LocalCopies:
    """Where the copies of one server's files lie: equal paths of two servers, or of two protocols, are two copies."""

    def __init__(self, protocol: str, options: dict[str, Any]):
        said = {name: str(options[name]) for name in _WHERE if options.get(name)}
        said |= {name: os.environ[name] for name in _WHERE_VARIABLES if os.environ.get(name)}
        self._server = f"{protocol}-{content_id(said)}"

    def of(self, full: str) -> Path:
        """Where the copy of a file lies or shall lie. Raises AtlasError where another user could write there."""
        return _own_folder() / self._server / full.lstrip("/")


def _own_folder() -> Path:
    """The temporary folder is everybody's: who made this name first could put his bytes where ours are looked up."""
    folder = Path(tempfile.gettempdir()) / f"feature-atlas-cache-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise AtlasError(
            f"{folder} is not a folder that only this user can enter. Remove it, or set TMPDIR to a folder of your own."
        )
    return folder
