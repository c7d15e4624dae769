from pathlib import Path

import polars as pl
import pytest

from sae.config import CorpusConfig
from sae.corpora.chunks import DOCUMENT_WORDS, count_words
from sae.corpora.documents import DOCUMENTS
from sae.corpora.sources import list_shards, read_shard

CONFIG = CorpusConfig(source="python_docs", shards=3, tokens=20_000)


@pytest.fixture(scope="module")
def corpus() -> pl.DataFrame:
    return pl.concat([read_shard("py", CONFIG, 0, shard) for shard in list_shards("py", CONFIG, 0)])


def test_the_corpus_holds_reference_docstrings_and_source(corpus: pl.DataFrame):
    assert corpus.schema == DOCUMENTS
    assert set(corpus["topic"]) == {"reference", "docstring", "source"}
    assert set(corpus.filter(pl.col("topic") == "source").select("language", "modality").rows()) == {("py", "code")}
    assert set(corpus.filter(pl.col("topic") != "source").select("language", "modality").rows()) == {("en", "text")}
    assert corpus["text"].str.contains("/root/|/home/").sum() == 0


def test_documents_are_short_unique_and_within_the_budget(corpus: pl.DataFrame):
    words = [count_words(text) for text in corpus["text"]]

    assert max(words) <= DOCUMENT_WORDS
    assert 20_000 <= sum(words) < 20_000 + DOCUMENT_WORDS
    assert corpus["document_id"].is_unique().all()
    assert corpus["shard"].unique().sort().to_list() == ["py-00000", "py-00001", "py-00002"]


def test_a_module_lies_in_one_shard(corpus: pl.DataFrame):
    modules = corpus.filter(pl.col("topic") == "source").group_by("source").agg(pl.col("shard").n_unique())

    assert set(modules["shard"]) == {1}


def test_seed_and_budget_decide_shard_and_version():
    first = read_shard("py", CONFIG, 0, "py-00001")

    assert first.equals(read_shard("py", CONFIG, 0, "py-00001"))
    assert not first.equals(read_shard("py", CONFIG, 1, "py-00001"))
    versions = [list_shards("py", config, seed) for config, seed in ((CONFIG, 0), (CONFIG, 1))]
    more = CONFIG.model_copy(update={"tokens": 30_000})
    assert versions[0] == list_shards("py", CONFIG, 0)
    assert not set(versions[0].values()) & set(versions[1].values())
    assert not set(versions[0].values()) & set(list_shards("py", more, 0).values())


def test_a_large_budget_makes_more_shards():
    assert len(list_shards("py", CorpusConfig(source="python_docs", tokens=1_000_000), 0)) == 4
    assert len(list_shards("py", CorpusConfig(source="python_docs", tokens=2_000_001), 0)) == 9


def test_documents_bound_the_corpus():
    config = CorpusConfig(source="python_docs", shards=2, documents=30)

    assert sum(len(read_shard("py", config, 0, shard)) for shard in list_shards("py", config, 0)) == 30


def test_sources_are_names_and_not_paths(corpus: pl.DataFrame):
    assert not any(Path(source).is_absolute() for source in corpus["source"])
