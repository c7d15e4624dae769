"""The list of documents that were removed on request: a refresh leaves them out, whichever corpus brings them back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from sae.errors import AtlasError
from sae.identity import bytes_id, content_id


@dataclass(frozen=True)
class Forgotten:
    """What was forgotten. It holds hashes and names of shards, nothing of a text."""

    contents: Mapping[str, str] = field(default_factory=dict)
    """When each document was forgotten (UTC, ISO 8601), by the hash of its text and picture."""
    shards: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The forgotten contents of each shard that held some."""
    emptied: Mapping[str, str] = field(default_factory=dict)
    """Shards that hold nothing else, by the version of the source that this was seen in."""

    def without(self, documents: pl.DataFrame) -> pl.DataFrame:
        """The documents of a shard but for the forgotten ones. Columns: text and image at least."""
        if not self.contents:
            return documents
        kept = [
            content_hash(text, None if image is None else bytes_id(image)) not in self.contents
            for text, image in documents.select("text", "image").iter_rows()
        ]
        return documents.filter(pl.Series(kept, dtype=pl.Boolean))

    def version(self, shard: str, source: str) -> str | None:
        """The version of a shard whose source has the version `source`; None where nothing of it is left."""
        if self.emptied.get(shard) == source:
            return None
        return content_id([source, *self.shards[shard]]) if shard in self.shards else source


def content_hash(text: str, picture: str | None) -> str:
    """What makes two documents one, in whichever corpora they stand.

    :param picture: hash of its picture, which is the name of the picture's file
    """
    return content_id([text, picture])


def forgotten_to_json(forgotten: Forgotten) -> bytes:
    """The list as a file."""
    listed = {
        "contents": dict(sorted(forgotten.contents.items())),
        "shards": {shard: sorted(contents) for shard, contents in sorted(forgotten.shards.items())},
        "emptied": dict(sorted(forgotten.emptied.items())),
    }
    return json.dumps(listed, indent=1).encode()


def forgotten_from_json(data: bytes) -> Forgotten:
    """The list of a file. Raises AtlasError where it is damaged: nothing may be made without knowing it."""
    try:
        raw = json.loads(data)
        shards = {str(shard): tuple(map(str, contents)) for shard, contents in raw["shards"].items()}
        return Forgotten(dict(raw["contents"]), shards, dict(raw["emptied"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise AtlasError(
            f"The list of forgotten documents is damaged ({error}). Take it from a backup: without it they come back."
        ) from error
