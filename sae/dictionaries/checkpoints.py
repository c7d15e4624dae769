"""Checkpoints of a training."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sae.errors import AtlasError
from sae.storage import Store, StoredFile

_KEPT = 2


class Checkpoints:
    """The last two states of one training, in `checkpoints/<key>/` of a store.

    A state is a safetensors file and, written after it, a JSON file with its size and SHA-256: without that, or where
    they do not agree, the state does not count.
    """

    def __init__(self, store: Store, key: str):
        """`key` stands for all that the training is made from: only the same training finds its states again."""
        self.folder = f"checkpoints/{key}"
        self._store = store

    def save(self, state: Mapping[str, Tensor], step: int) -> None:
        """Keep the state after `step` steps, and the one before it. Raises AtlasError on a full disk."""
        stem = f"{self.folder}/{step:010d}"
        with self._store.writing(f"{stem}.safetensors") as temporary:
            save_file(dict(state), temporary)
        described = self._store.describe(f"{stem}.safetensors")
        self._store.write_bytes(f"{stem}.json", json.dumps(asdict(described)).encode())
        self._keep(self._stems()[-_KEPT:])

    def latest(self, warn: Callable[[str], None]) -> dict[str, Tensor] | None:
        """The last whole state, if there is one; each damaged one is removed and `warn` is told."""
        for stem in reversed(self._stems()):
            try:
                return self._read(stem)
            except (AtlasError, SafetensorError, ValueError, TypeError) as error:
                warn(f"The checkpoint {stem} is damaged, the one before it is used: {error}")
                self._keep([kept for kept in self._stems() if kept != stem])
        return None

    def clear(self) -> None:
        """Remove all states."""
        self._keep([])

    def _read(self, stem: str) -> dict[str, Tensor]:
        fields = json.loads(self._store.read_bytes(f"{stem}.json"))
        return load_file(self._store.verify(StoredFile(**fields)))

    def _stems(self) -> list[str]:
        names = self._store.files_in(self.folder)
        return [name.removesuffix(".json") for name in names if name.endswith(".json")]

    def _keep(self, stems: list[str]) -> None:
        gone = [name for name in self._store.files_in(self.folder) if name.rsplit(".", 1)[0] not in stems]
        for name in sorted(gone, key=lambda name: not name.endswith(".json")):
            self._store.delete(name)
