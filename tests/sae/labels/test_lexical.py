import polars as pl
import pytest

from sae.labels.lexical import label_features
from sae.labels.rule import score_rules
from sae.labels.schema import LABEL_EXAMPLES, LABELS
from sae.labels.words import count_words

PLACES = ["Boston", "Chicago", "Dallas", "Seattle", "Denver", "Austin"]


@pytest.fixture
def corpus(token_table):
    english = [["the", " capital", " of", f" {place}", " is", " old", "."] for place in PLACES * 20]
    english += [["we", " like", " the", " Golden Gate Bridge", " a", " lot", "."]] * 6
    english += [["<image>", "<image>", " Alcatraz", " here"]] * 6
    spanish = [["la", " capital", " de", f" {place}", " es", " vieja", "."] for place in PLACES * 5]
    spanish += [["vemos", " el", " Puente Golden Gate", " siempre", "."]] * 6
    return count_words([token_table(english), token_table(spanish, language="es")])


@pytest.fixture
def label_one(corpus, example_table, now):
    """Labels one feature from its examples: (the label's row, the examples)."""

    def label(rows, density):
        features = pl.DataFrame(
            {"feature_id": ["d:0"], "dictionary_id": ["d"], "index": [0], "density": [density], "is_dead": [False]},
            schema_overrides={"index": pl.Int32},
        )
        examples = example_table(rows)
        labels, uses = label_features(features, examples, corpus, seed=0, run_id="run", created_at=now)
        assert labels.schema == LABELS
        assert uses.schema == LABEL_EXAMPLES
        return labels, uses, examples

    return label


def _silent(example, n=12):
    return [
        example(0, ["the", " capital", " of", f" {PLACES[i % 6]}", " is", " old", "."], i % 7, 0.0, number=100 + i)
        for i in range(n)
    ]


def test_a_name_in_two_languages_and_a_picture(example, label_one):
    rows = [
        example(0, ["we", " like", " the", " Golden Gate Bridge", " a", " lot"], 3, 9.0 - i / 20, number=i)
        for i in range(20)
    ]
    rows += [
        example(0, ["vemos", " el", " Puente Golden Gate", " siempre"], 2, 7.0, number=20 + i, language="es")
        for i in range(12)
    ]
    rows += [
        example(0, ["<image>", "<image>", " Alcatraz", " here"], 1, 5.0, number=40 + i, modality="image")
        for i in range(12)
    ]

    labels, uses, examples = label_one(rows + _silent(example), 40 / 1000)

    assert labels["label"].to_list() == ["Golden Gate Bridge · Puente Golden Gate · picture · near Alcatraz"]
    assert labels["confidence"][0] > 0.8
    assert "pictures (" in labels["explanation"][0]
    scores = score_rules(labels, uses, examples, seed=0, run_id="run", created_at=labels["created_at"][0])
    assert scores["score"].to_list() == [1.0]


def test_a_frequent_word_is_told_by_what_stands_before_it(example, label_one):
    rows = [
        example(0, ["the", " capital", " of", " Boston", " is", " old", "."], 4, 5.0 - i / 10, number=i)
        for i in range(12)
    ]

    labels, _, _ = label_one(rows + _silent(example), 20 / 1000)

    assert labels["label"].to_list() == ["is · after Boston"]


def test_a_language_names_a_feature_without_words(example, label_one):
    rows = [example(0, [f" palabra{i}"], 0, 3.0, number=i, language="es") for i in range(26)]

    labels, _, _ = label_one(rows + _silent(example), 26 / 1000)

    assert labels["label"].to_list() == ["in Spanish"]


def test_labels_repeat_and_depend_on_what_was_shown(example, label_one):
    rows = [example(0, ["the", " Golden Gate Bridge"], 1, 5.0, number=i) for i in range(9)] + _silent(example)

    first, uses, _ = label_one(rows, 0.01)
    again, _, _ = label_one(rows, 0.01)
    fewer, _, _ = label_one(rows[1:], 0.01)

    assert first.equals(again)
    assert set(uses["use"]) == {"shown", "held_out"}
    assert uses.filter(pl.col("use") == "shown")["example_id"].n_unique() < len(rows)
    assert first["label_id"][0] != fewer["label_id"][0]


def test_dead_features_have_no_label(corpus, example, example_table, now):
    features = pl.DataFrame(
        {"feature_id": ["d:0"], "dictionary_id": ["d"], "index": [0], "density": [0.0], "is_dead": [True]}
    )

    labels, uses = label_features(
        features, example_table(_silent(example)), corpus, seed=0, run_id="run", created_at=now
    )

    assert len(labels) == len(uses) == 0


def test_text_that_would_break_the_label_is_kept_in_its_place(example, label_one):
    rows = [example(0, ["so", " picture"], 1, 5.0, number=i) for i in range(18)]

    labels, _, _ = label_one(rows + _silent(example), 18 / 1000)

    assert labels["label"].to_list() == ["“picture”"]
    assert labels["confidence"][0] > 0.7
