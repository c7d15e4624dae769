import re

from hypothesis import given
from hypothesis import strategies as st

from sae.corpora.chunks import chunk_text, count_words


@given(st.text("ab \n.\t", max_size=300), st.integers(1, 20))
def test_chunks_keep_every_word_in_order_within_bounds(text: str, max_words: int):
    chunks = list(chunk_text(text, max_words))

    assert all(0 < count_words(chunk) <= max_words for chunk in chunks)
    assert re.sub(r"\s", "", "".join(chunks)) == re.sub(r"\s", "", text)


def test_paragraphs_stay_whole_where_they_fit():
    text = "one two three\n\nfour five six\n\nseven"

    assert list(chunk_text(text, 4)) == ["one two three", "four five six\n\nseven"]
    assert list(chunk_text(text, 100)) == [text]


def test_code_keeps_its_indentation():
    text = "\n\n    def f():\n        return 1\n\n\n    x = 2\n"

    assert list(chunk_text(text)) == ["    def f():\n        return 1\n\n\n    x = 2"]
    assert list(chunk_text(text, 8)) == ["    def f():\n        return 1", "    x = 2"]


def test_words_and_punctuation_count():
    assert count_words("a, bc! 日本") == 5
    assert list(chunk_text("a" * 3000, 5)) == ["a" * 3000]
    assert list(chunk_text(" \n ")) == []
