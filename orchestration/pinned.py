"""A dictionary with all that it pins: the model, the shards and the documents that it was made from.

Whatever follows a dictionary reads these, not the newest: new shards alone change nothing that depends on it.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from orchestration.document_files import image_paths, read_documents
from orchestration.predecessors import comparable
from orchestration.refs import Ref
from sae.storage import Store, StoredFile

if TYPE_CHECKING:
    from sae.activations.manifest import ActivationSet
    from sae.activations.shard import ActivationShard
    from sae.activations.source import ActivationSource
    from sae.config import AtlasConfig
    from sae.dictionaries.dictionary import Dictionary
    from sae.features.neighbors import Directions
    from sae.models.subject import Subject


@dataclass(frozen=True)
class Basis:
    """What a dictionary is made from: `facts` of an activation set or of a dictionary, opened through the store."""

    store: Store
    facts: dict[str, Any]
    device: str
    """Where the model runs, as the config says it (`device_of`)."""

    @cached_property
    def manifest(self) -> "ActivationSet":
        """The activation set."""
        from sae.activations.manifest import activation_set_from_json

        return activation_set_from_json(json.dumps(self.facts["activation_set"]))

    @property
    def massive_norm(self) -> float:
        """Activations longer than this (L2 norm) are massive ones, which no dictionary was trained on."""
        return self.manifest.massive_norm

    def subject(self) -> "Subject":
        """The model that was read."""
        model = self.facts["model"]
        files, attention = tuple(model["files"]), model.get("attention", "auto")
        return open_subject(self.store, f"models/{model['model_id']}", model["name"], files, self.device, attention)

    @cached_property
    def source(self) -> "ActivationSource":
        """What opens the activation shards: their files, or at a streamed site the model."""
        from sae.activations.source import StoredActivations
        from sae.activations.stream import StreamedActivations

        if (streamed := self.manifest.streamed) is None:
            return StoredActivations(self.store)
        return StreamedActivations(
            self.store, self.subject(), self.manifest.hookpoint, streamed, self._documents_of_shard
        )

    def openers(self, split: str | None = None) -> "list[Callable[[], ActivationShard]]":
        """Openers of the activation shards of one split, or of both."""
        entries = [entry for entry in self.manifest.shards if split in (None, entry.split)]
        return [partial(self.source.open, entry.record) for entry in entries]

    def shards(self, split: str | None = None) -> "Sequence[ActivationShard]":
        """The activation shards of one split, or of both: each verified and opened when its turn comes."""
        from sae.activations.opening import OpenedInTurn

        return OpenedInTurn(self.openers(split))

    def documents(self, split: str | None = None) -> pl.DataFrame:
        """The documents of one split, or of both, with pictures and mentions."""
        wanted = [entry.shard for entry in self.manifest.shards if split in (None, entry.split)]
        return pl.concat([self._documents_of_shard(shard) for shard in wanted])

    def image_paths(self) -> dict[str, str]:
        """The stored picture of those documents that hold one, by document id; neither texts nor pictures are read."""
        found: dict[str, str] = {}
        for entry in self.manifest.shards:
            found |= image_paths(self.store, StoredFile(**self.facts["documents"][entry.shard]))
        return found

    def _documents_of_shard(self, shard: str) -> pl.DataFrame:
        return read_documents(self.store, StoredFile(**self.facts["documents"][shard]))


def device_of(config: "AtlasConfig", facts: dict[str, Any]) -> str:
    """Where the config wants the model of some facts to run; the default, `auto`, for one that it no longer names."""
    model = config.models.get(facts["model"]["name"])
    return "auto" if model is None else model.device


class Pinned(Basis):
    """A trained dictionary with its basis."""

    def __init__(self, store: Store, ref: Ref, device: str):
        super().__init__(store, ref.facts, device)
        object.__setattr__(self, "ref", ref)

    ref: Ref

    @property
    def dictionary_id(self) -> str:
        """Its name: the hash of its weights."""
        return self.ref.data_version

    @cached_property
    def dictionary(self) -> "Dictionary":
        """The dictionary itself, on the CPU: what reads the model with it takes it to the model's device."""
        from sae.dictionaries.layout import load_dictionary

        paths = [self.store.verify(file) for file in self.ref.files.values()]
        return load_dictionary(paths[0].parent)

    def previous(self) -> "tuple[Dictionary, str] | None":
        """The dictionary that this one replaced, with its id; None where there is none that could be compared."""
        return next(iter(self.ancestors()), None)

    def ancestors(self) -> "Iterator[tuple[Dictionary, str]]":
        """The dictionaries that this one and those before it replaced, with their ids, the last one first."""
        from sae.dictionaries.layout import load_dictionary

        for before in comparable(self.store, self.facts):
            name = before["dictionary_id"]
            paths = [self.store.local(f"dictionaries/{name}/{file}") for file in before["files"]]
            yield load_dictionary(paths[0].parent), name

    def directions(self, features: pl.DataFrame) -> "Directions":
        """Unit decoder rows of the live features, by the table `features` of this dictionary."""
        from sae.features.neighbors import live_directions

        dead = features.sort("index")["is_dead"].to_numpy()
        return live_directions(self.dictionary.W_dec, dead, self.dictionary_id)


@lru_cache(maxsize=1)
def _load_subject(folder: Path, name: str, device: str, attention: str) -> "Subject":
    from sae.models.loading import load_subject

    return load_subject(folder, name, device, attention)


def open_subject(
    store: Store, folder: str, name: str, files: tuple[str, ...], device: str, attention: str
) -> "Subject":
    """The model in a folder of the store. The last one opened stays loaded: its folder's name is its content."""
    local = [store.local(f"{folder}/{file}") for file in files]
    return _load_subject(local[0].parent, name, device, attention)


def close_subject() -> None:
    """Let the model go that is loaded, so that the next one need not stand beside it."""
    _load_subject.cache_clear()
