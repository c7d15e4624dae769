"""The error rate of matches on a truth made by hand: entities a to d, each at positions of its own."""

import numpy as np
import polars as pl
import pytest
import torch
from hand_made import make_shard

from sae.activations.shard import ActivationShard
from sae.dictionaries.dictionary import Dictionary
from sae.evaluation.match_errors import MATCH_ERRORS, match_measures
from sae.features.matches import MATCHES, match_features
from sae.identity import feature_id

ENTITIES = "abcd"
N_DOCUMENTS = 48
MENTIONS = pl.List(pl.Struct({"concept_id": pl.String, "start": pl.Int32, "end": pl.Int32}))
NAMES = pl.DataFrame({"concept_id": list(ENTITIES), "name": list(ENTITIES), "language": ["en"] * len(ENTITIES)})


def reading(*axes: int) -> Dictionary:
    """A dictionary whose feature f reads along axis axes[f]: entity number e lies along axis e."""
    rows = torch.zeros(len(axes), len(ENTITIES))
    rows[torch.arange(len(axes)), torch.tensor(axes)] = 1.0
    return Dictionary(
        W_enc=rows.T.contiguous(),
        b_enc=torch.full((len(axes),), -0.5),
        W_dec=rows,
        b_dec=torch.zeros(len(ENTITIES)),
        form="standard",
        apply_b_dec_to_input=False,
    )


@pytest.fixture
def corpus():
    """Documents of one word, an entity in turn, and their activations: (shards, documents)."""
    which = torch.arange(N_DOCUMENTS) % len(ENTITIES)
    values = torch.nn.functional.one_hot(which, len(ENTITIES)).float()
    values += 0.01 * torch.rand(values.shape, generator=torch.Generator().manual_seed(0))
    ids = [f"d{n}" for n in range(N_DOCUMENTS)]
    texts = [ENTITIES[n % len(ENTITIES)] for n in range(N_DOCUMENTS)]
    mentions = [[{"concept_id": text, "start": 0, "end": 1}] for text in texts]
    tokens = make_shard(values).tokens.with_columns(
        document_id=pl.Series(ids), position=pl.lit(0, pl.Int32), start=pl.lit(0, pl.Int32), end=pl.lit(1, pl.Int32)
    )
    documents = pl.DataFrame(
        {"document_id": ids, "text": texts, "language": ["en"] * N_DOCUMENTS, "mentions": mentions},
        schema_overrides={"mentions": MENTIONS},
    )
    return [ActivationShard(tokens, values)], documents


def matched(*pairs: tuple[int, int, str, float]) -> pl.DataFrame:
    rows = [
        (feature_id("n", i), "n", i, feature_id("o", j), "o", cosine, 0.9, status) for i, j, status, cosine in pairs
    ]
    return pl.DataFrame(rows, schema=MATCHES, orient="row")


def measured(matches, current, previous, corpus):
    shards, documents = corpus
    return {m.metric: m for m in match_measures(matches, current, previous, shards, documents, NAMES, seed=0)}


def test_the_same_dictionary_in_another_order_has_no_error(corpus):
    current, previous = reading(2, 0, 3, 1), reading(0, 1, 2, 3)
    matches = match_features(current, "n", previous, "o", corpus[0])

    found = measured(matches, current, previous, corpus)

    carried = found["match_error_rate"]
    assert matches["status"].unique().to_list() == ["carried"]
    assert (carried.value, carried.n, carried.control) == (0.0, 4, 1.0)
    assert (found["match_missed_rate"].value, found["match_missed_rate"].n) == (0.0, 4)


def test_a_match_of_features_for_different_entities_is_an_error_of_its_status(corpus):
    both = reading(0, 1, 2, 3)
    matches = matched(
        (0, 0, "carried", 0.9),
        (1, 2, "carried", 0.8),
        (2, 2, "split", 0.7),
        (3, 1, "split", 0.7),
        (0, 3, "merged", 0.7),
    )

    found = measured(matches, both, both, corpus)

    assert {status: (found[metric].value, found[metric].n) for status, metric in MATCH_ERRORS.items()} == {
        "carried": (0.5, 2),
        "split": (0.5, 2),
        "merged": (1.0, 1),
    }
    assert found["match_missed_rate"].value == pytest.approx(2 / 4)
    interval = found["match_error_rate"].interval
    assert interval is not None
    assert interval[0] < 0.5 < interval[1]


def test_features_that_stand_for_nothing_do_not_count(corpus):
    silent = reading(0, 1)
    silent.b_enc[1] = -100.0

    found = measured(matched((0, 0, "carried", 0.9), (1, 1, "carried", 0.8)), silent, reading(0, 1), corpus)

    carried = found["match_error_rate"]
    assert (carried.n, carried.details["matches"], carried.details["only_the_old_stands_for_one"]) == (1, 2, 1)
    assert carried.control is None


def test_partners_are_exchanged_among_matches_of_like_cosine_alone(corpus):
    """Ten strong matches of one entity and ten weak ones of another: an exchange within each block changes nothing."""
    axes = [0] * 10 + [1] * 10
    both = reading(*axes)
    rows = [(f, f, "carried", 0.95 if axis == 0 else 0.75) for f, axis in enumerate(axes)]

    assert measured(matched(*rows), both, both, corpus)["match_error_rate"].control == 0.0


def test_without_mentions_nothing_is_measured(corpus):
    shards, documents = corpus
    silent = documents.with_columns(mentions=pl.lit([], MENTIONS))

    assert match_measures(matched(), reading(0), reading(0), shards, silent, NAMES, 0) == []


def test_no_match_is_no_rate(corpus):
    found = measured(matched(), reading(0), reading(0), corpus)

    assert (found["match_error_rate"].value, found["match_error_rate"].n) == (None, 0)
    assert found["match_missed_rate"].value == 1.0
    assert np.isfinite(found["match_missed_rate"].n)
