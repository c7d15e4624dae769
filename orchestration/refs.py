"""Which content is current: one small JSON file a cell, `refs/<asset>/<partition>.json`.

A ref says what the cell holds (data version, files with hashes), what it was made from (inputs, code version) and
by which run. The build key is the hash of the inputs; the planner compares it with the one wanted now.
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from orchestration.partitions import Cell
from sae.errors import AtlasError
from sae.identity import content_id
from sae.storage import Store, StoredFile

PINNED_FACT = "pins"
"""Among the facts of a dictionary: the version of the activation set that it was trained and measured on."""
_OF = " on "
WITHDRAWN = "withdrawn_dictionary"
"""In the place of an asset's name: the ref of a gate's dictionary that read a document which was forgotten. Nothing is
made from it any more, but what follows it is matched to it."""


@dataclass(frozen=True)
class Ref:
    """What a cell holds now."""

    asset: str
    partition: str | None
    data_version: str
    """Content id of the result."""
    build_key: str
    """Hash of asset, partition, code version and inputs."""
    code_version: str
    inputs: dict[str, str]
    """Version of every upstream cell, by `asset[partition]`, as `input_version` gives it."""
    files: dict[str, StoredFile]
    """The files, by role."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Small JSON-like facts that later stages and the catalog read."""
    run_id: str = ""
    started_at: str = ""
    finished_at: str = ""
    """UTC, ISO 8601."""
    peak_memory_bytes: int | None = None
    """The most that the process held while it was made; None where an older program made it."""
    cost_usd: float = 0.0
    """What was paid for it, or may have been."""

    @property
    def cell(self) -> Cell:
        """The cell this ref stands for."""
        return Cell(self.asset, self.partition)

    @property
    def input_version(self) -> str:
        """The version by which the cells that are made from it know it.

        A dictionary's content is its weights, but what follows reads the activations that it pins as well, and those
        can change alone: a document in a held-out shard trains nothing.
        """
        pinned = self.facts.get(PINNED_FACT)
        return self.data_version if pinned is None else f"{self.data_version}{_OF}{pinned}"


def content_of(input_version: str) -> str:
    """The data version in the version by which a cell is known to those made from it."""
    return input_version.partition(_OF)[0]


def build_key(cell: Cell, code_version: str, inputs: dict[str, str]) -> str:
    """Hash of all that a cell is made from."""
    return content_id({"cell": str(cell), "code_version": code_version, "inputs": inputs})


def read_ref(store: Store, cell: Cell) -> Ref | None:
    """The ref of a cell; None where it was never made. Raises AtlasError on a damaged one."""
    path = ref_path(cell)
    if not store.exists(path):
        return None
    try:
        raw = json.loads(store.read_bytes(path))
        files = {role: StoredFile(**file) for role, file in raw.pop("files").items()}
        return Ref(**raw, files=files)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise AtlasError(f"{path} is damaged ({error}). Delete it and run `atlas run`.") from error


def write_ref(store: Store, ref: Ref) -> None:
    """Make a ref current, atomically."""
    store.write_bytes(ref_path(ref.cell), json.dumps(asdict(ref), indent=1, ensure_ascii=False).encode())


def file_faults(store: Store, ref: Ref) -> list[str]:
    """What is wrong with a ref's files at a glance, in words: missing ones, and those of another size.

    Hashes are compared where a file is opened: a plan that read everything would take as long as making it.
    """
    faults = []
    for file in ref.files.values():
        size = store.size(file.path)
        if size is None:
            faults.append(f"{file.path} is missing from the store")
        elif size != file.size:
            faults.append(f"{file.path} is damaged: it has {size} bytes, {file.size} were written")
    return faults


def ref_path(cell: Cell) -> str:
    """Where the ref of a cell lies."""
    return f"refs/{cell.asset}/{cell.partition or 'all'}.json"
