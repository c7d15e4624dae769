import json
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from sae.features.matches import MATCHES
from sae.identity import content_id
from sae.labels.carry import carry_labels, rejections, unfit, worth_carrying
from sae.labels.current import current_labels
from sae.labels.schema import LABEL_EXAMPLES, LABEL_RENEWALS, LABEL_REVIEWS, LABEL_SCORES, LABELS, label_id
from sae.labels.split import keeps_back, split_examples

DAY = datetime(2026, 5, 6, tzinfo=UTC)


def _labels(*rows):
    base = {
        "label": "a bridge",
        "explanation": "",
        "model": "m",
        "seed": 3,
        "attempt": 1,
        "status": "ok",
        "origin": "new",
    }
    full = []
    for name, index, labeler in rows:
        feature = {"feature_id": f"old:{index}", "dictionary_id": "old", "index": index}
        full.append(base | feature | {"label_id": name, "labeler": labeler, "created_at": DAY})
    return pl.DataFrame(full, schema=LABELS)


def _reviews(*rows):
    said = [
        {"review_id": f"r{i}", "label_id": name, "reviewer": "ada", "verdict": verdict, "created_at": DAY}
        for i, (name, verdict) in enumerate(rows)
    ]
    return pl.DataFrame(said, schema=LABEL_REVIEWS)


@pytest.fixture
def matches():
    rows = [
        ("new:5", "new", 5, "old:0", "old", 0.9, 0.8, "carried"),
        ("new:6", "new", 6, "old:1", "old", 0.75, None, "split"),
        ("new:7", "new", 7, None, None, None, None, "new"),
        (None, "new", None, "old:2", "old", None, None, "retired"),
    ]
    return pl.DataFrame(rows, schema=MATCHES, orient="row")


@pytest.fixture
def examples(example, example_table):
    rows = []
    for number in range(40):
        row = example(5, ["the", " bridge", f" {number}"], 1, 1.0 if number < 30 else 0.0, number)
        name = content_id(["new:5", f"doc{number}", 1, 0, 2])
        rows.append(
            row | {"example_id": name, "feature_id": "new:5", "dictionary_id": "new", "document_id": f"doc{number}"}
        )
    return example_table(rows)


def test_what_costs_nothing_is_written_again_and_not_carried():
    labels = _labels(
        ("a", 0, "lexical"), ("b", 1, "openai"), ("c", 2, "human"), ("d", 3, "lexical"), ("e", 4, "openai")
    )

    kept = worth_carrying(labels, _reviews(("d", "accept"), ("e", "reject")), LABEL_RENEWALS.to_frame())

    assert kept["label_id"].to_list() == ["b", "c", "d"]


def test_a_carried_label_is_a_new_row_with_its_parent_and_its_match(matches, examples):
    parents = _labels(("a", 0, "openai"), ("b", 1, "openai"), ("c", 2, "openai"))
    nothing = pl.DataFrame(schema=LABEL_EXAMPLES)

    carried, uses = carry_labels(parents, nothing, matches, examples, "run", DAY + timedelta(days=1))

    (row,) = carried.to_dicts()
    assert (row["feature_id"], row["dictionary_id"], row["index"]) == ("new:5", "new", 5)
    assert (row["origin"], row["parent_label_id"], row["label"], row["labeler"]) == (
        "carried",
        "a",
        "a bridge",
        "openai",
    )
    assert json.loads(row["prompt"]) == {
        "parent_label_id": "a",
        "match": {
            "feature_id": "new:5",
            "previous_feature_id": "old:0",
            "cosine": 0.9,
            "activation_correlation": 0.8,
            "status": "carried",
        },
    }
    assert row["label_id"] == label_id("new:5", "openai", "m", row["prompt_sha256"], 3, 1)
    held_out = split_examples(examples).filter(pl.col("use") == "held_out")["example_id"]
    assert uses.rows() == [(row["label_id"], name, "held_out") for name in held_out]


def test_documents_that_the_parents_writer_saw_judge_nothing(matches, examples):
    split = split_examples(examples)
    apart = split.filter(
        (pl.col("use") == "held_out") & pl.col("document_id").map_elements(lambda d: keeps_back("old:0", d), pl.Boolean)
    )
    strongest = apart["document_id"][0]
    elsewhere = apart.head(1).with_columns(example_id=pl.lit("elsewhere"), position=pl.lit(2, pl.Int32))
    shown = [("a", content_id(["old:0", strongest, 1, 0, 2]), "shown")]

    _, uses = carry_labels(
        _labels(("a", 0, "openai")),
        pl.DataFrame(shown, LABEL_EXAMPLES, orient="row"),
        matches,
        pl.concat([examples, elsewhere.select(examples.columns)]),
        "run",
        DAY,
    )

    # Neither the document of the old feature's strongest example nor any of the half that was shown of it judges.
    assert uses["example_id"].to_list() == apart["example_id"].to_list()[1:]
    assert 0 < len(uses) < split.filter(pl.col("use") == "held_out").height - 1


@pytest.mark.parametrize(
    ("scores", "parent", "low"),
    [
        ([("rule", 0.55)], 0.8, True),
        ([("rule", 0.65)], 0.8, False),
        ([("rule", 0.5)], 0.5, False),
        ([("rule", 0.5)], None, True),
        ([("rule", 0.5), ("detection", 0.9)], 0.8, False),
        ([("rule", 0.9), ("detection", 0.9), ("fuzzing", 0.4)], 0.8, True),
        ([], 0.8, False),
    ],
)
def test_a_carried_label_under_its_threshold_is_out_of_force(scores, parent, low, matches, examples):
    parents, nothing = _labels(("a", 0, "human")), pl.DataFrame(schema=LABEL_EXAMPLES)
    carried, _ = carry_labels(parents, nothing, matches, examples, "run", DAY)

    def scored(name, rows):
        frame = [{"label_id": name, "scorer": scorer, "score": score, "n": 10} for scorer, score in rows]
        return pl.DataFrame(frame, schema=LABEL_SCORES)

    before = scored("a", [] if parent is None else [("rule", parent)])
    found = unfit(carried, [scored(carried["label_id"][0], scores)], before, 0.6)
    said = rejections(found, 0.6, DAY)

    assert len(found) == len(said) == low
    assert len(current_labels(carried, said, LABEL_RENEWALS.to_frame())) == (not low)


def test_a_persons_own_label_beats_a_carried_one_and_that_a_newer_one(matches, examples):
    parents, nothing = _labels(("a", 0, "human")), pl.DataFrame(schema=LABEL_EXAMPLES)
    carried, _ = carry_labels(parents, nothing, matches, examples, "run", DAY)
    name = carried["label_id"][0]
    later = {"created_at": DAY + timedelta(days=1)}
    newer = carried.to_dicts()[0] | later | {"label_id": "x", "labeler": "openai", "origin": "new"}
    own = carried.to_dicts()[0] | {"label_id": "y", "labeler": "human", "origin": "human"}

    def current(*rows):
        return current_labels(
            pl.concat([carried, pl.DataFrame(rows, schema=LABELS)]), _reviews(), LABEL_RENEWALS.to_frame()
        )["label_id"].to_list()

    assert current(newer) == [name]
    assert current(newer, own) == ["y"]
