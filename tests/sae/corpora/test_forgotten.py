"""The list of forgotten documents: what it leaves out, and that it survives a file."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sae.corpora.documents import Document, documents_table
from sae.corpora.forgotten import Forgotten, content_hash, forgotten_from_json, forgotten_to_json
from sae.errors import AtlasError

NAMES = st.text("abc-0123", min_size=1, max_size=8)


def table(corpus: str, *documents: Document) -> pl.DataFrame:
    return documents_table(corpus, f"{corpus}-00000", documents)


def test_a_forgotten_document_is_left_out_of_every_corpus():
    gone = content_hash("my address", None)
    documents = (Document("my address"), Document("another text"), Document("my address", image=b"picture"))

    kept = [Forgotten({gone: "now"}).without(table(corpus, *documents)) for corpus in ("mine", "yours")]

    for frame in kept:
        assert frame.select("text", "image").rows() == [("another text", None), ("my address", b"picture")]
        assert frame.schema == table("mine", *documents).schema


def test_an_empty_list_leaves_everything_as_it_is():
    documents = table("mine", Document("a"), Document("b"))

    assert Forgotten().without(documents).equals(documents)
    assert Forgotten().version("mine-00000", "v1") == "v1"


def test_a_shard_that_lost_a_document_has_another_version_and_an_emptied_one_none():
    forgotten = Forgotten({"x": "now"}, {"mine-1": ("x",), "mine-2": ("x",)}, {"mine-2": "v1"})

    assert forgotten.version("mine-1", "v1") != "v1"
    assert forgotten.version("mine-1", "v1") == forgotten.version("mine-1", "v1")
    assert forgotten.version("mine-2", "v1") is None
    assert forgotten.version("mine-2", "v2") is not None, "its file was written anew: there may be other documents"
    assert forgotten.version("mine-3", "v1") == "v1"


@given(
    st.dictionaries(NAMES, NAMES), st.dictionaries(NAMES, st.lists(NAMES, min_size=1, unique=True).map(sorted)),
    st.dictionaries(NAMES, NAMES),
)  # fmt: skip
def test_a_list_survives_its_file(contents, shards, emptied):
    forgotten = Forgotten(contents, {shard: tuple(found) for shard, found in shards.items()}, emptied)

    assert forgotten_from_json(forgotten_to_json(forgotten)) == forgotten


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"contents": 1, "shards": {}, "emptied": {}}', b"\xff"])
def test_a_damaged_list_stops_everything(data):
    with pytest.raises(AtlasError, match="list of forgotten documents is damaged"):
        forgotten_from_json(data)
