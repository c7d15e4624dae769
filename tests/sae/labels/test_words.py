import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from sae.labels.contexts import Contexts
from sae.labels.pieces import LINE_BREAK
from sae.labels.words import count_words


def test_pieces_of_a_word_are_joined_and_names_stay_whole(example, example_table):
    pieces = ["The", " Gol", "den", " Ga", "te", ".", " Bye"]
    rows = [
        example(0, pieces, 1, 1.0),
        example(0, pieces, 4, 1.0),
        example(0, ["Near", " Golden Gate Bridge", ",", " yes"], 1, 1.0),
        example(0, ["金門橋", "は", "\n\n"], 2, 1.0, language="ja"),
        example(0, ["a", "b", "c", "d"], 2, 1.0),
    ]

    read = Contexts(example_table(rows))

    assert [context.written for context in read] == ["Golden", "Gate", "Golden Gate Bridge", LINE_BREAK, "abcd"]
    assert [context.focus for context in read[:2]] == ["golden", "gate"]
    assert [context.before for context in read] == [["the"], ["the", "golden"], ["near"], ["金門橋", "は"], []]
    assert [context.after for context in read] == [["gate", ".", "bye"], [".", "bye"], [",", "yes"], [], []]
    assert ("bye", "Bye") in list(read[0].spellings())


def test_words_of_a_corpus_are_those_of_its_examples(token_table):
    tokens = token_table([["<s>", "The", " Gol", "den", " Gate"], ["the", " gol", "den", "\n"]])

    counts = count_words([tokens, tokens])

    assert dict(counts.select("word", "n").iter_rows()) == {"the": 4, "golden": 4, "gate": 2, LINE_BREAK: 2}
    assert counts["language"].unique().to_list() == ["en"]


def test_an_empty_corpus_has_no_words():
    assert len(count_words([])) == 0


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text(max_size=6), min_size=1, max_size=20), st.data())
def test_any_text_has_a_focus(tokens, data):
    at = data.draw(st.integers(0, len(tokens) - 1))
    start = max(at - 12, 0)
    frame = pl.DataFrame(
        {
            "tokens": [tokens[start : at + 13]],
            "position": pl.Series([at], dtype=pl.Int32),
            "modality": ["text"],
            "language": ["en"],
        }
    )

    (context,) = Contexts(frame)

    assert context.focus
    assert all(word.strip() for word in context.before + context.after)
