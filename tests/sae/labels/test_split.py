import polars as pl
import pytest

from sae.labels.judges.scoring import _judged
from sae.labels.lexical import label_features
from sae.labels.rule import score_rules
from sae.labels.split import split_examples
from sae.labels.words import count_words


@pytest.fixture
def in_documents(example, example_table):
    """Examples of some features, the strongest of each first, in documents named by the function of their number."""

    def make(n_features, n, document):
        rows = [
            example(feature, ["the", " Golden Gate Bridge", f" {number}"], 1, 0.0 if number % 3 == 2 else 5.0, number)
            | {"document_id": document(number)}
            for feature in range(n_features)
            for number in range(n)
        ]
        return example_table(rows)

    return make


def _documents(split, use):
    return split.filter(pl.col("use") == use).select("feature_id", "document_id").unique()


def test_no_document_of_a_feature_is_both_shown_and_held_out(in_documents):
    examples = in_documents(50, 60, lambda number: f"doc{number // 5}")

    split = split_examples(examples)

    assert split.drop("use").equals(examples)
    shown, held_out = _documents(split, "shown"), _documents(split, "held_out")
    assert shown.join(held_out, on=["feature_id", "document_id"], how="inner").is_empty()
    # Of the twelve documents one is always shown; the others are 550 coin tosses, three standard deviations of them.
    assert len(held_out) == pytest.approx(275, abs=3 * 550**0.5 / 2)
    # Each feature has halves of its own.
    assert held_out.group_by("feature_id").agg(pl.col("document_id").sort())["document_id"].n_unique() > 45


def test_the_document_of_the_strongest_example_is_shown_whole(in_documents):
    split = split_examples(in_documents(50, 60, lambda number: f"doc{number % 12}"))

    assert split.filter(pl.col("document_id") == "doc0")["use"].unique().to_list() == ["shown"]


def test_a_feature_of_one_document_is_labelled_and_has_no_scores(in_documents, token_table, now):
    examples = in_documents(1, 12, lambda number: "doc0")
    corpus = count_words([token_table([["the", " Golden Gate Bridge", " 7"], ["an", " old", " town", "."]] * 5)])
    features = pl.DataFrame(
        {"feature_id": "d:0", "dictionary_id": "d", "index": 0, "density": 0.1, "is_dead": False, "max_activation": 5.0}
    )

    labels, uses = label_features(features, examples, corpus, seed=0, run_id="run", created_at=now)

    assert labels["label"].str.len_chars().to_list() != [0]
    assert uses["use"].unique().to_list() == ["shown"]
    assert score_rules(labels, uses, examples, seed=0, run_id="run", created_at=now).is_empty()
    assert list(_judged(labels, uses, examples.with_columns(activations=pl.lit([0.0])), features)) == []


def test_a_feature_of_two_documents_has_one_held_out_or_none(in_documents):
    split = split_examples(in_documents(100, 12, lambda number: f"doc{number % 2}"))

    assert split.filter(pl.col("document_id") == "doc0")["use"].unique().to_list() == ["shown"]
    of_other = split.filter(pl.col("document_id") == "doc1").group_by("feature_id").agg(pl.col("use").unique())
    assert of_other["use"].list.len().max() == 1
    assert set(of_other["use"].list.first()) == {"shown", "held_out"}
    assert split_examples(split.drop("use").clear())["use"].to_list() == []
