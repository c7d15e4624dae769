"""Where the activations of a manifest's shards come from: here from the store, in `stream` from the model."""

from typing import Protocol

from sae.activations.manifest import ShardRecord
from sae.activations.shard import ActivationShard, open_shard
from sae.errors import AtlasError
from sae.storage import Store


class ActivationSource(Protocol):
    """Opens the shards of a site."""

    def open(self, record: ShardRecord) -> ActivationShard:
        """The shard of a record. Raises AtlasError naming what is damaged or missing."""
        ...


class StoredActivations:
    """Shards from their files. Each file is hashed when it is opened for the first time, and not again."""

    def __init__(self, store: Store):
        self._store = store
        self._verified: set[str] = set()

    def open(self, record: ShardRecord) -> ActivationShard:
        """The shard whose files are as recorded, mapped into memory. Raises AtlasError naming a damaged file."""
        if record.tensors is None:
            raise AtlasError(f"The values of {record.shard} were never stored: its site is streamed.")
        for file in (record.tensors, record.tokens):
            if file.path not in self._verified:
                self._store.verify(file)
                self._verified.add(file.path)
        return open_shard(self._store.local(record.tensors.path), self._store.local(record.tokens.path))
