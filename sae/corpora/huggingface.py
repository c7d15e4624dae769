"""A data set of the Hugging Face hub as a corpus, streamed: only what is read is downloaded."""

import importlib
import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from sae.config import CorpusConfig
from sae.corpora.chunks import SHARD_WORDS, count_words
from sae.corpora.documents import Document, document_id, documents_table
from sae.corpora.rows import row_document
from sae.errors import AtlasError
from sae.identity import content_id, file_sha256

_STRIDE = 10_000
"""Rows of the data set that belong to one shard: it stops earlier when its share of the tokens is reached."""


def list_huggingface(name: str, config: CorpusConfig, base: Path) -> dict[str, str]:
    """Shards and their versions, which follow the data set's commit (or the files of a local folder)."""
    dataset = str(config.dataset)
    made_of = [dataset, config.config, config.split, config.text, config.language, config.image]
    revision = _revision(dataset, base)
    share = [config.documents, config.tokens, shard_count(config)]
    return {
        f"{name}-{index:05d}": content_id([*made_of, revision, *share, index]) for index in range(shard_count(config))
    }


def read_huggingface(name: str, config: CorpusConfig, index: int, base: Path) -> pl.DataFrame:
    """The documents of shard `index`: rows from `index * stride` on, until its share of the bounds is reached.

    Repeats within a shard are dropped. Raises AtlasError when the package `datasets` is missing (with the command that
    installs it) or the data set cannot be read.
    """
    if importlib.util.find_spec("datasets") is None:
        raise AtlasError("A huggingface corpus needs the package datasets. Install it: `pip install datasets`.")
    datasets: Any = importlib.import_module("datasets")
    dataset = str(config.dataset)
    local = base / dataset
    try:
        rows = datasets.load_dataset(
            str(local) if local.is_dir() else dataset, config.config, split=config.split, streaming=True
        )
        stride = _stride(config)
        documents = list(_take(name, rows.skip(index * stride).take(stride), config, dataset, index * stride))
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise AtlasError(f"The data set {dataset} cannot be read: {' '.join(str(error).split())[:300]}") from error
    return documents_table(name, f"{name}-{index:05d}", documents)


def shard_count(config: CorpusConfig) -> int:
    """As many shards as the config says, or more, so that none grows without bound."""
    return max(config.shards, -(-(config.tokens or 0) // SHARD_WORDS))


def _stride(config: CorpusConfig) -> int:
    return _STRIDE if config.documents is None else -(-config.documents // shard_count(config))


def _take(
    name: str, rows: Iterable[dict[str, Any]], config: CorpusConfig, dataset: str, first: int
) -> Iterator[Document]:
    most_words = SHARD_WORDS if config.tokens is None else -(-config.tokens // shard_count(config))
    words = 0
    seen: set[str] = set()
    for number, row in enumerate(rows, first):
        document = row_document(row, config, dataset, f"{dataset} row {number}", Path())
        if document is None or (key := document_id(name, document.text, document.image)) in seen:
            continue
        seen.add(key)
        words += count_words(document.text)
        yield document
        if words >= most_words:
            return


def _revision(dataset: str, base: Path) -> str:
    local = base / dataset
    if local.is_dir():
        return content_id([[path.name, file_sha256(path)] for path in sorted(local.rglob("*")) if path.is_file()])
    from huggingface_hub import dataset_info
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return str(dataset_info(dataset).sha)
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise AtlasError(f"The hub says nothing about the data set {dataset}: {reason}") from error
