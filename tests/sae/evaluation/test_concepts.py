from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from sae.activations.shard import TOKENS, ActivationShard
from sae.catalog import schema_evaluation as catalog_schema
from sae.catalog.frames import conform
from sae.dictionaries.dictionary import Dictionary
from sae.errors import AtlasError
from sae.evaluation.concepts import ANY_ACTIVATION, choose_features, count, read_codes, score_concepts
from sae.evaluation.truth import ALL, NAMES, Truth, build_truth

MENTIONS = pl.List(pl.Struct({"concept_id": pl.String, "start": pl.Int32, "end": pl.Int32}))
WIDTH = 4
"""Characters of each token in these tests; a token's span is [4 i, 4 i + 3)."""


def corpus(
    documents: list[tuple[list[tuple[str, str]], list[tuple[str, int, int]]]],
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """DOCUMENTS and TOKENS from (language, modality) by position and mentions (concept, first, last position)."""
    texts = pl.DataFrame(
        {
            "document_id": [f"d{n}" for n in range(len(documents))],
            "text": [" ".join(f"w{i:02}" for i in range(len(positions))) for positions, _ in documents],
            "language": [positions[0][0] for positions, _ in documents],
            "mentions": [
                [{"concept_id": c, "start": first * WIDTH, "end": last * WIDTH + 3} for c, first, last in mentions]
                for _, mentions in documents
            ],
        },
        schema={"document_id": pl.String, "text": pl.String, "language": pl.String, "mentions": MENTIONS},
    )
    rows: list[dict[str, Any]] = [
        {
            "document_id": f"d{n}",
            "position": i,
            "start": i * WIDTH,
            "end": i * WIDTH + 3,
            "language": language,
            "modality": modality,
            "special": False,
            "massive": False,
        }
        for n, (positions, _) in enumerate(documents)
        for i, (language, modality) in enumerate(positions)
    ]
    return texts, pl.DataFrame(rows, schema_overrides={"start": pl.Int32, "end": pl.Int32})


EN, ES, IMG, PY = ("en", "text"), ("es", "text"), ("en", "image"), ("py", "code")


def with_halves(truth: Truth, choosing: list[int]) -> Truth:
    half = np.zeros(len(truth.choosing), dtype=bool)
    half[choosing] = True
    return Truth(**{**truth.__dict__, "choosing": half})


def test_a_perfect_feature_scores_one_in_every_slice_and_a_noisy_one_what_its_firings_say():
    documents, tokens = corpus(
        [
            ([EN, EN, EN], [("bridge", 1, 1)]),
            ([EN, EN], []),
            ([EN, EN, EN], [("bridge", 0, 1)]),
            ([ES, ES], [("bridge", 1, 1)]),
            ([IMG, IMG, EN], [("bridge", 0, 1)]),
            ([EN, ES, IMG], []),
        ]
    )
    truth = with_halves(build_truth(documents, tokens, seed=0), choosing=[0, 1])
    codes = np.zeros((len(tokens), 2))
    codes[[1, 6, 9, 11], 0] = 2.0  # one row inside each mention
    codes[[0, 1, 2, 3], 1] = 1.0  # fires everywhere in the choosing half
    codes[[13, 14], 0] = 0.5  # false: the last document's `en` and `es` positions
    scores = score_concepts(truth, csr_array(codes), "dict")
    by_slice = {row["slice"]: row for row in scores.iter_rows(named=True)}
    assert set(by_slice) == {"all", "en", "es", "image"}
    assert set(scores["feature_id"]) == {"dict:0"}
    assert [by_slice["all"][key] for key in ("precision", "recall", "n")] == [3 / 5, 1.0, 3]
    assert by_slice["en"]["precision"] == 1 / 2
    assert by_slice["image"]["f1"] == 1.0
    assert by_slice["all"]["f1"] == pytest.approx(2 * 0.6 / 1.6)


def test_firings_elsewhere_in_a_naming_document_count_for_nothing():
    documents, tokens = corpus([([EN, EN, EN], [("x", 0, 0)]), ([EN], []), ([EN, EN, EN], [("x", 0, 0)])])
    truth = with_halves(build_truth(documents, tokens, seed=0), choosing=[0, 1])
    codes = np.zeros((7, 1))
    codes[[0, 1, 2, 4, 5, 6]] = 1.0
    scores = score_concepts(truth, csr_array(codes), "dict")
    assert scores["f1"].to_list() == [1.0, 1.0]


def test_special_and_massive_rows_never_fire_but_a_mention_on_them_is_missed():
    documents, tokens = corpus([([EN, EN], [("x", 0, 0)]), ([EN, EN], [("x", 0, 0)]), ([EN, EN], [])])
    tokens = tokens.with_columns(massive=pl.Series([False, False, True, False, True, False]))
    truth = with_halves(build_truth(documents, tokens, seed=0), choosing=[0])
    scores = score_concepts(truth, csr_array(np.array([[1.0], [0], [1], [0], [1], [0]])), "dict")
    assert scores.filter(slice="all").select("recall", "precision", "n").row(0) == (0.0, 0.0, 1)


def test_a_concept_without_mentions_in_both_halves_has_no_scores_and_no_mentions_give_an_empty_frame():
    documents, tokens = corpus([([EN], [("x", 0, 0)]), ([EN], [("y", 0, 0)])])
    truth = with_halves(build_truth(documents, tokens, seed=0), choosing=[0])
    codes = csr_array(np.ones((2, 3)))
    assert score_concepts(truth, codes, "dict").is_empty()
    assert choose_features(truth, codes).features.tolist() == [0, -1]
    documents, tokens = corpus([([EN], []), ([EN], [])])
    assert score_concepts(build_truth(documents, tokens, 0), codes, "dict").is_empty()


def test_a_threshold_is_chosen_with_the_feature_and_kept_for_the_other_half():
    documents, tokens = corpus([([EN, EN], [("x", 0, 0)]), ([EN, EN], [])] * 2)
    truth = with_halves(build_truth(documents, tokens, seed=0), choosing=[0, 1])
    feature = [1.0, 0, 0.25, 0.25, 0.4, 0, 0.3, 0.1]  # a strong mention and weak noise; then 0.4 against 0.3
    codes = csr_array(np.array([feature, [0.01] * 8]).T)
    choice = choose_features(truth, codes)
    assert (choice.features.tolist(), choice.thresholds.tolist()) == ([0], [pytest.approx(0.3)])
    scores = score_concepts(truth, codes, "dict").filter(slice="all")
    assert scores.select("precision", "recall", "f1").row(0) == (1.0, 1.0, 1.0)
    plain = score_concepts(truth, codes, "dict", levels=ANY_ACTIVATION).filter(slice="all")
    assert plain.select("precision", "recall").row(0) == (pytest.approx(1 / 3), 1.0)


def test_code_is_its_own_slice_and_the_halves_depend_on_the_seed_alone():
    documents, tokens = corpus([([PY], [("addition", 0, 0)])] * 64)
    first, again, other = (build_truth(documents, tokens, seed) for seed in (1, 1, 2))
    assert set(first.mention_slice) == {"code"}
    assert (first.choosing == again.choosing).all()
    assert (first.choosing != other.choosing).any()
    assert 16 < first.choosing.sum() < 48


def test_a_name_counts_for_its_own_language_wherever_it_stands():
    documents, tokens = corpus(
        [([EN, EN, EN], [("x", 0, 0), ("x", 1, 1), ("x", 2, 2)]), ([ES, ES], [("x", 0, 0), ("y", 1, 1)])]
    )
    rows = [("x", "w00", "en"), ("x", "w00", "es"), ("x", "w01", "es"), ("x", "w01", "de"), ("y", "w00", "de")]
    names = pl.DataFrame(rows, schema=NAMES, orient="row")
    truth = build_truth(documents, tokens, seed=0, names=names)
    # shared by both: the document's; Spanish before German; unknown text: the document's; shared; another concept's
    assert truth.mention_slice.tolist() == ["en", "es", "en", "es", "es"]


def test_unknown_documents_and_a_wrong_number_of_rows_are_refused():
    documents, tokens = corpus([([EN], []), ([EN], [])])
    with pytest.raises(AtlasError, match="d1"):
        build_truth(documents.head(1), tokens, seed=0)
    with pytest.raises(AtlasError, match="3 rows of activations for 2 tokens"):
        score_concepts(build_truth(documents, tokens, 0), csr_array(np.ones((3, 2))), "dict")


def test_shards_are_encoded_and_scored_in_one_go():
    documents, tokens = corpus([([EN, EN], [("x", 0, 0)]), ([EN, EN], [])] * 40)
    documents = documents.with_columns(document_id=pl.Series([f"d{n}" for n in range(80)]))
    values = torch.tensor([[3.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 2.0]]).repeat(40, 1)
    table = tokens.with_columns(token_id=pl.lit(0, pl.Int32), token=pl.lit("w")).select(TOKENS.names())
    shards = [ActivationShard(table[:60], values[:60]), ActivationShard(table[60:], values[60:])]
    identity = Dictionary(torch.eye(2), torch.zeros(2), torch.eye(2), torch.zeros(2), "standard")
    truth = build_truth(documents, pl.concat([shard.tokens for shard in shards]), seed=0)
    scores = score_concepts(truth, read_codes(identity, shards), "dict")
    assert scores.select("feature_id", "slice", "f1").rows() == [("dict:0", "all", 1.0), ("dict:0", "en", 1.0)]
    assert conform(catalog_schema.CONCEPT_SCORES, scores).equals(scores)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Any], np.ndarray]:
    documents = []
    for _ in range(draw(st.integers(1, 8))):
        positions = draw(st.lists(st.sampled_from([EN, ES, IMG, PY]), min_size=1, max_size=6))
        mentions = []
        for _ in range(draw(st.integers(0, 3))):
            first = draw(st.integers(0, len(positions) - 1))
            last = draw(st.integers(first, len(positions) - 1))
            mentions.append((draw(st.sampled_from("abc")), first, last))
        documents.append((positions, mentions))
    n = sum(len(positions) for positions, _ in documents)
    fires = draw(st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=n, max_size=n))
    return documents, np.array(fires, dtype=bool)


@given(worlds(), st.integers(0, 3), st.sampled_from(["all", "en", "es", "image", "code"]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_counts_agree_with_counting_by_hand(world: Any, seed: int, part: str, choosing: bool):
    documents, fires = world
    texts, tokens = corpus(documents)
    truth = build_truth(texts, tokens, seed)
    got = count(truth, csr_array(fires), choosing, part)

    def slice_of(position: tuple[str, str]) -> str:
        return position[1] if position[1] != "text" else position[0]

    row = 0
    hits = np.zeros((len(truth.concepts), 4), dtype=int)
    false = np.zeros_like(hits)
    n_mentions = np.zeros(len(truth.concepts), dtype=int)
    for number, (positions, mentions) in enumerate(documents):
        if truth.choosing[number] == choosing:
            for concept, first, last in mentions:
                if part in (ALL, slice_of(positions[first])):
                    n_mentions[truth.concepts.index(concept)] += 1
                    hits[truth.concepts.index(concept)] += fires[row + first : row + last + 1].any(axis=0)
            named = {concept for concept, _, _ in mentions}
            for position, place in enumerate(positions):
                if part in (ALL, slice_of(place)):
                    for index, concept in enumerate(truth.concepts):
                        false[index] += fires[row + position] if concept not in named else 0
        row += len(positions)
    assert (got.hits == hits).all()
    assert (got.false == false).all()
    assert (got.mentions == n_mentions).all()
