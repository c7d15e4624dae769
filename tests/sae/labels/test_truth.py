import json

import polars as pl
import pytest

from sae.labels.truth import names_concept, score_truth


@pytest.mark.parametrize(
    ("label", "name", "named"),
    [
        ("Golden Gate Bridge · picture", "golden gate bridge", True),
        ("the GOLDEN  Gate Bridge", "Golden Gate Bridge", True),
        ("Golden Gate Bridges", "Golden Gate Bridge", False),
        ("金門橋と海", "金門橋", True),
        ("New Yorker", "New York", False),
        ("is · after São Paulo", "São Paulo", True),
        ("anything", "", False),
    ],
)
def test_a_label_names_a_concept_by_a_whole_phrase(label, name, named):
    assert names_concept(label, name) is named


def test_labels_are_scored_against_the_concept_of_their_feature(now):
    labels = pl.DataFrame(
        {
            "label_id": ["a", "b", "c"],
            "feature_id": ["d:0", "d:1", "d:2"],
            "label": ["Puente Golden Gate · picture", "Boston", "Lakers"],
        }
    )
    best = pl.DataFrame(
        {
            "feature_id": ["d:0", "d:1"],
            "concept_id": ["bridge", "sacramento"],
            "names": [["Golden Gate Bridge", "Puente Golden Gate"], ["Sacramento"]],
        }
    )

    scores = score_truth(labels, best, seed=0, run_id="run", created_at=now)

    assert scores["label_id"].to_list() == ["a", "b"]
    assert scores["score"].to_list() == [1.0, 0.0]
    assert json.loads(scores["details"][0]) == {"concept_id": "bridge", "named_as": "Puente Golden Gate"}
