"""A dictionary with all that it pins: the model, the shards and the documents that it was made from.

Whatever follows a dictionary reads these, not the newest: new shards alone change nothing that depends on it.
"""

from collections.abc import Iterator
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from orchestration.refs import Ref
from sae.corpora.documents import join_images
from sae.storage import Store, StoredFile

if TYPE_CHECKING:
    from sae.activations.manifest import ActivationSet
    from sae.activations.shard import ActivationShard
    from sae.dictionaries.dictionary import Dictionary
    from sae.models.subject import Subject


class Pinned:
    """A trained dictionary and, opened when asked for, what it was made from."""

    def __init__(self, store: Store, ref: Ref):
        self._store = store
        self.ref = ref
        self.dictionary_id = ref.data_version

    @cached_property
    def dictionary(self) -> "Dictionary":
        """The dictionary itself."""
        from sae.dictionaries.layout import load_dictionary

        return load_dictionary(self._store.verify(self.ref.files["sae_weights.safetensors"]).parent)

    @cached_property
    def manifest(self) -> "ActivationSet":
        """The activation set that it was trained and measured on."""
        from sae.activations.manifest import ActivationSet

        return ActivationSet.from_json(self.ref.facts["activation_set"])

    @property
    def facts(self) -> dict[str, Any]:
        """What the training recorded."""
        return self.ref.facts

    def subject(self) -> "Subject":
        """The model that was read."""
        model = self.ref.facts["model"]
        return open_subject(self._store, f"models/{model['model_id']}", model["name"], tuple(model["files"]))

    def shards(self, split: str | None = None) -> "Iterator[ActivationShard]":
        """The activation shards of one split, or of both, one after the other."""
        from sae.activations.shard import open_shard

        for shard in self.manifest.shards:
            if split in (None, shard.split):
                yield open_shard(self._store.verify(shard.tensors), self._store.verify(shard.tokens))

    def documents(self, split: str | None = None) -> pl.DataFrame:
        """The documents of one split, or of both, with pictures and mentions."""
        files = self.ref.facts["documents"]
        wanted = [shard.shard for shard in self.manifest.shards if split in (None, shard.split)]
        return pl.concat([read_documents(self._store, StoredFile(**files[shard])) for shard in wanted])


def read_documents(store: Store, file: StoredFile) -> pl.DataFrame:
    """Documents of a shard with their pictures' bytes."""
    return join_images(pl.read_parquet(store.verify(file)), store.read_bytes)


@lru_cache(maxsize=1)
def _load_subject(folder: Path, name: str) -> "Subject":
    from sae.models.loading import load_subject

    return load_subject(folder, name)


def open_subject(store: Store, folder: str, name: str, files: tuple[str, ...]) -> "Subject":
    """The model in a folder of the store. The last one opened stays loaded: its folder's name is its content."""
    local = [store.local(f"{folder}/{file}") for file in files]
    return _load_subject(local[0].parent, name)
