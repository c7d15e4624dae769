import json

import polars as pl
import pytest

from sae.labels.contexts import Context
from sae.labels.rule import parse_rule, score_rules


def _at(focus, before=(), after=(), image=False, language="en"):
    return Context(focus, image, language, lambda: (list(before), list(after)))


@pytest.mark.parametrize(
    ("label", "context", "holds"),
    [
        ("Golden Gate Bridge · 金門橋 · picture", _at("golden gate bridge"), True),
        ("Golden Gate Bridge · 金門橋 · picture", _at("金門橋"), True),
        ("Golden Gate Bridge · 金門橋 · picture", _at("<image>", image=True), True),
        ("Golden Gate Bridge · 金門橋 · picture", _at("bridge", ["bay"]), False),
        ("Golden Gate Bridge", _at("gate", ["the", "golden"], ["bridge"]), True),
        ("Golden Gate Bridge", _at("gate", ["the", "front"], ["bridge"]), False),
        ("New York", _at("new york knicks"), False),
        ("is · after Kobe Bryant, Lakers", _at("is", ["kobe bryant", "the"]), True),
        ("is · after Kobe Bryant, Lakers", _at("is", ["boston"]), False),
        ("is · after Kobe Bryant, Lakers", _at("was", ["lakers"]), False),
        ("after Lakers", _at("anything", ["lakers"]), True),
        ("picture · near Alcatraz", _at("<image>", after=["alcatraz"], image=True), True),
        ("picture · near Alcatraz", _at("<image>", after=["boston"], image=True), False),
        ("picture", _at("text"), False),
        ("in Spanish", _at("hola", language="es"), True),
        ("in Spanish", _at("hello"), False),
        ("“,”", _at(","), True),
        ("“picture”", _at("picture"), True),
        ("“picture”", _at("<image>", image=True), False),
        ("References to the Golden Gate Bridge in any language", _at("golden gate bridge"), True),
        ("References to the Golden Gate Bridge in any language", _at("the"), False),
        ("Pictures and mentions of the Space Needle", _at("<image>", image=True), True),
        ("", _at("the"), False),
    ],
)
def test_a_label_is_a_rule(label, context, holds):
    assert parse_rule(label).holds(context) is holds


def test_scores_are_balanced_accuracy_on_held_out_examples(example, example_table, now):
    rows = [
        example(0, ["the", " Lakers"], 1, 2.0, number=0),
        example(0, ["a", " Lakers"], 1, 1.0, number=1),
        example(0, ["a", " Celtics"], 1, 1.0, number=2),
        example(0, ["no", " Lakers"], 1, 0.0, number=3),
        example(0, ["no", " dog"], 1, 0.0, number=4),
        example(1, ["only", " active"], 1, 1.0, number=5),
    ]
    examples = example_table(rows)
    labels = pl.DataFrame({"label_id": ["a", "b"], "feature_id": ["d:0", "d:1"], "label": ["Lakers", "active"]})
    uses = pl.DataFrame(
        {
            "label_id": ["a"] * 5 + ["b"],
            "example_id": examples["example_id"],
            "use": ["shown"] + ["held_out"] * 5,
        }
    )

    scores = score_rules(labels, uses, examples, seed=3, run_id="run", created_at=now)

    (score,) = scores.iter_rows(named=True)  # the second label has no silent example: nothing can be said of it
    details = json.loads(score["details"])
    assert score["label_id"] == "a"
    assert score["score"] == pytest.approx(0.5)
    assert score["n"] == 4
    assert details == {"precision": 0.5, "recall": 0.5, "specificity": 0.5, "active": 2, "silent": 2}
