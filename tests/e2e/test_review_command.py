"""`atlas review` says what is current now, and takes one verdict at a time."""

import json

import pytest

from sae.catalog import open_catalog


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["a"], 2, "Give one of --accept, --reject and --rewrite TEXT."),
        (["a", "--accept", "--reject"], 2, "Give one of"),
        (["a", "--accept", "--explanation", "b"], 2, "goes with --rewrite"),
        (["nothing", "--accept"], 1, "No label 'nothing'"),
    ],
)
def test_wrong_use_is_told_in_a_line(arguments, code, words, place, command):
    asked = command("review", *arguments)

    assert (asked.code, asked.err.count("\n")) == (code, 1)
    assert words in asked.err


def test_each_verdict_says_what_is_current_now(place, command):
    with open_catalog(place.store) as catalog:
        label, feature = catalog.sql("select label_id, feature_id from current_labels limit 1").row(0)

    rejected = command("review", label, "--reject", "--reviewer", "ada")
    rewritten = command("review", label, "--rewrite", "\x1b[31mred\u202e", "--reviewer", "ada", "--json")
    accepted = command("review", label, "--accept", "--reviewer", "ada")

    assert f"{feature} has no label now" in rejected.out
    assert json.loads(rewritten.out)["current"]["label"] == "[31mred"
    assert f"current label of {feature}: [31mred" in accepted.out
