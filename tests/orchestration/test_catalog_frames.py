"""What the catalog says of the corpora is what the artifacts say."""

from pathlib import Path

from orchestration.catalog_frames import _corpus
from orchestration.document_files import write_documents
from orchestration.refs import Ref
from sae.corpora.documents import Document, documents_table
from sae.storage import Store


def corpus_ref(store: Store, shard: str, *texts: str) -> Ref:
    documents = documents_table("mine", shard, map(Document, texts))
    file = write_documents(store, "corpora/mine", shard, documents)
    return Ref(
        asset="corpus",
        partition=shard,
        data_version="0123456789abcdef",
        build_key="0123456789abcdef",
        code_version="1",
        inputs={},
        files={"documents": file},
        facts={"n_documents": len(texts)},
        run_id="run",
        started_at="2026-01-01T00:00:00.000+00:00",
        finished_at="2026-01-01T00:00:00.000+00:00",
        peak_memory_bytes=None,
        cost_usd=0.0,
    )


def test_a_shard_without_a_document_is_shown_as_one(tmp_path: Path):
    store = Store(str(tmp_path))
    refs = [corpus_ref(store, "mine-0000000000001"), corpus_ref(store, "mine-0000000000002", "Words.")]

    documents, shards = _corpus(store, refs, [])

    assert shards.select("shard", "corpus", "n_documents").rows() == [
        ("mine-0000000000001", "mine", 0),
        ("mine-0000000000002", "mine", 1),
    ]
    assert documents["text"].to_list() == ["Words."]
