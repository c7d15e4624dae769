"""The demo world as a corpus: its own sentences, pictures and programs, drawn by seed."""

from pathlib import Path

import polars as pl

import sae.world
from sae.config import CorpusConfig
from sae.corpora.documents import DOCUMENTS, document_id
from sae.identity import content_id, file_sha256_once

_DOCUMENTS = 8_000
"""Documents of the corpus where the config names no number: about 100,000 tokens."""


def list_world(name: str, config: CorpusConfig, seed: int) -> dict[str, str]:
    """Shards and their versions: what the seed, the number of documents and the world's facts and program decide."""
    made_of = [seed, _per_shard(config), world_rules()]
    return {f"{name}-{index:05d}": content_id([*made_of, index]) for index in range(config.shards)}


def world_rules() -> list[list[str]]:
    """Name and hash of each file that decides what the world tells, and how its model learns it."""
    folder = Path(sae.world.__path__[0])
    return [[path.name, file_sha256_once(path)] for path in sorted(folder.iterdir()) if path.is_file()]


def read_world(name: str, config: CorpusConfig, seed: int, index: int) -> pl.DataFrame:
    """The documents of shard `index`, with the concepts they mention."""
    from sae.world.documents import world_documents

    drawn = world_documents(seed, index, _per_shard(config)).with_columns(
        corpus=pl.lit(name), shard=pl.lit(f"{name}-{index:05d}")
    )
    ids = [document_id(name, text, image) for text, image in drawn.select("text", "image").iter_rows()]
    return drawn.with_columns(document_id=pl.Series(ids)).select(DOCUMENTS.names()).cast(DOCUMENTS)


def _per_shard(config: CorpusConfig) -> int:
    return -(-(config.documents or _DOCUMENTS) // config.shards)
