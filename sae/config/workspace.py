"""From a config file to the places it names."""

import os
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from sae.config.atlas import AtlasConfig
from sae.config.faults import first_fault
from sae.errors import ConfigError

CONFIG_VARIABLE = "ATLAS_CONFIG"
"""Environment variable that names the config file."""
SERVICE_FILE = "service.json"
"""In the state folder, while an inference service stands: its url, token and pid, readable by its owner alone."""


class Workspace(BaseModel):
    """A config together with the places it names, made absolute."""

    model_config = ConfigDict(frozen=True)

    config: AtlasConfig
    path: Path
    """The config file."""
    store: str
    """Absolute folder or fsspec URL."""
    state: Path
    """Absolute folder."""

    @property
    def scratch(self) -> Path:
        """Where stages put what they make before it goes to the store."""
        return self.state / "scratch"

    @property
    def service_file(self) -> Path:
        """Where an inference service says how it is reached."""
        return self.state / SERVICE_FILE


def load_workspace(path: str | os.PathLike[str] | None = None) -> Workspace:
    """Read a config: `path`, else `$ATLAS_CONFIG`, else `atlas.yaml` here; `$ATLAS_STORE` replaces the store.

    A relative store starts at the config's folder; the state lies in a local one that replaces the config's.

    Raises ConfigError naming the key, what was found and what is allowed, also on a `?` in the path of either: DuckDB
    and Dagster's SQLite take what follows it for options.
    """
    file = Path(path or os.environ.get(CONFIG_VARIABLE) or "atlas.yaml").absolute()
    if not file.is_file():
        raise ConfigError(f"No config at {file}. Write one with `atlas init`, or name yours in ATLAS_CONFIG.")
    config = parse_config(file.read_bytes(), file.name)
    store, state = os.environ.get("ATLAS_STORE") or config.store, file.parent / config.state
    if "://" not in store:
        store = str((file.parent / store).absolute())
        if os.environ.get("ATLAS_STORE"):
            state = Path(store) / "state"
    _check_places(file.name, {"store": store, "state": str(state.absolute())})
    return Workspace(config=config, path=file, store=store, state=state.absolute())


def parse_config(data: bytes, name: str) -> AtlasConfig:
    """Parse and validate YAML bytes; `name` stands in the error."""
    try:
        raw = yaml.safe_load(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: not UTF-8 (byte {error.start}). Save the file as UTF-8.") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{name}: a mapping of keys is wanted. `atlas init` writes one to start from.")
    try:
        return AtlasConfig.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{name}: {first_fault(error, AtlasConfig)}") from error


def _check_places(file: str, places: dict[str, str]) -> None:
    for name, place in places.items():
        is_local = "://" not in place or place.startswith("file://")
        if is_local and "?" in place:
            raise ConfigError(f"{file}: {name}: {place} has a ? in it, with which no database can be written.")
