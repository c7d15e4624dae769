from sae.corpora.documents import DOCUMENTS, Document, document_id, documents_table
from sae.world.documents import world_documents


def test_repeats_are_one_document():
    documents = [Document("a"), Document("b", "de"), Document("a", "fr"), Document("a", image=b"1")]

    table = documents_table("c", "c-00000", documents)

    assert table.schema == DOCUMENTS
    assert table["text"].to_list() == ["a", "b", "a"]
    assert table["language"].to_list() == ["und", "de", "und"]
    assert table["document_id"].to_list() == [document_id("c", d.text, d.image) for d in (*documents[:2], documents[3])]


def test_the_name_of_a_document_carries_its_corpus_and_picture():
    names = {
        document_id("a", "x", None),
        document_id("b", "x", None),
        document_id("a", "x", b""),
        document_id("a", "y", None),
    }

    assert len(names) == 4


def test_an_empty_shard_keeps_its_schema():
    assert documents_table("c", "c-00000", []).schema == DOCUMENTS


def test_mentions_reach_the_table():
    mention = {"concept_id": "city/sf", "start": 0, "end": 2}

    table = documents_table("c", "c-00000", [Document("SF", mentions=[mention])])

    assert table["mentions"].to_list() == [[mention]]


def test_the_world_speaks_the_same_table():
    assert world_documents(0, 0, 3).schema == DOCUMENTS
