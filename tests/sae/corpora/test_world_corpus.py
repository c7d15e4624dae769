import polars as pl

from sae.config import CorpusConfig
from sae.corpora.documents import DOCUMENTS, document_id
from sae.corpora.sources import list_shards, read_shard

CONFIG = CorpusConfig(source="world", shards=3, documents=90)


def test_shards_carry_the_corpus_name_and_no_repeats():
    shards = [read_shard("my-world", CONFIG, 0, shard) for shard in list_shards("my-world", CONFIG, 0)]
    whole = pl.concat(shards)

    assert whole.schema == DOCUMENTS
    assert [len(shard) for shard in shards] == [30, 30, 30]
    assert set(whole["corpus"]) == {"my-world"}
    assert whole["shard"].unique(maintain_order=True).to_list() == list(list_shards("my-world", CONFIG, 0))
    assert whole["document_id"].is_unique().all()
    first = whole.row(0, named=True)
    assert first["document_id"] == document_id("my-world", first["text"], first["image"])


def test_seed_and_size_decide_shard_and_version():
    assert read_shard("w", CONFIG, 0, "w-00001").equals(read_shard("w", CONFIG, 0, "w-00001"))
    versions = [
        list_shards("w", config, seed)["w-00000"]
        for config, seed in ((CONFIG, 0), (CONFIG, 1), (CONFIG.model_copy(update={"documents": 60}), 0))
    ]
    assert len(set(versions)) == 3


def test_mentions_stand_in_the_text():
    for text, mentions in read_shard("w", CONFIG, 0, "w-00000").select("text", "mentions").iter_rows():
        assert all(0 <= m["start"] < m["end"] <= len(text) for m in mentions)
