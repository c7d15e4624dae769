"""The corpora that a config names: which shards they have, and what a shard holds."""

from pathlib import Path

import polars as pl

from sae.config import CorpusConfig
from sae.corpora.files import list_files, read_files
from sae.corpora.huggingface import list_huggingface, read_huggingface
from sae.corpora.python_docs import list_python_docs, read_python_docs
from sae.corpora.world import list_world, read_world
from sae.errors import AtlasError


def list_shards(name: str, config: CorpusConfig, seed: int, base: Path = Path()) -> dict[str, str]:
    """The shards of a corpus, `<name>-<number>`, each with the hash of what it is made of; no document is parsed.

    Relative paths start at `base`. Raises AtlasError when the source is not there.
    """
    if config.source == "world":
        return list_world(name, config, seed)
    if config.source == "python_docs":
        return list_python_docs(name, config, seed)
    if config.source == "files":
        return list_files(name, config, base)
    return list_huggingface(name, config, base)


def read_shard(name: str, config: CorpusConfig, seed: int, shard: str, base: Path = Path()) -> pl.DataFrame:
    """The documents of one shard, with the schema `DOCUMENTS`, the same each time for the same source and seed.

    Raises AtlasError on a shard that the corpus does not have, and on what the source's adapter names.
    """
    corpus, _, number = shard.rpartition("-")
    if corpus != name or not number.isdecimal():
        raise AtlasError(f"The corpus {name} has no shard {shard!r}.")
    index = int(number)
    if config.source == "files":
        return read_files(name, config, index, base)  # It looks for the shard itself: listing takes a while.
    if shard not in list_shards(name, config, seed, base):
        raise AtlasError(f"The corpus {name} has no shard {shard!r}.")
    if config.source == "world":
        return read_world(name, config, seed, index)
    if config.source == "python_docs":
        return read_python_docs(name, config, seed, index)
    return read_huggingface(name, config, index, base)
