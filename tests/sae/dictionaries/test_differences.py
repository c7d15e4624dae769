"""What differs between two dictionaries by what is recorded of them."""

import pytest
from catalog_fixture import provenance_of

from sae.dictionaries.differences import made_from, measures, shards, shards_in_words, why_not_comparable


@pytest.fixture
def old() -> dict:
    return provenance_of("large") | {"site": "world-lm.layers.3", "hookpoint": "layers.3", "d_sae": 60}


@pytest.fixture
def new(old) -> dict:
    provenance = provenance_of("large")
    return old | {"recipe_config": provenance["recipe_config"], "activation_set": provenance["activation_set"]}


def test_a_dictionary_differs_from_itself_in_nothing(old, new):
    assert made_from(old, new) == []
    assert why_not_comparable(old, new) is None
    assert shards_in_words(shards(old, new)) == "The same 4 shards of activations."


def test_sizes_recipe_and_reading_are_told_apart_by_name(old, new):
    new["d_sae"] = 90
    new["recipe_config"] |= {"seed": 1, "auxk": 0.1}
    new["activation_set"]["scale"] = 0.5

    assert {row["what"]: (row["old"], row["new"]) for row in made_from(old, new)} == {
        "d_sae": (60, 90),
        "recipe.seed": (0, 1),
        "recipe.auxk": (None, 0.1),
        "activations.scale": (0.9, 0.5),
    }


def test_shards_are_added_left_or_changed(old, new):
    entries = new["activation_set"]["shards"]
    entries[0]["record"]["data_version"] = "v9"
    entries[1]["split"] = "held_out"
    entries[2]["record"]["shard"] = "world-00009"

    found = shards(old, new)

    assert (found["added"], found["left"]) == (["world-00009"], ["world-00002"])
    assert found["changed"] == ["world-00000", "world-00001"]
    assert shards_in_words(found) == (
        "Shards of activations: 4 before, 4 now; 1 added (world-00009), 1 left (world-00002), "
        "2 changed (world-00000, world-00001)"
    )


def test_features_of_two_models_or_hookpoints_are_not_matched(old, new):
    assert "hookpoint" in str(why_not_comparable(old, new | {"hookpoint": "layers.4"}))
    assert "model" in str(why_not_comparable(old, new | {"model": {"model_id": "another"}}))


def test_measures_of_either_stand_in_a_row_those_of_the_quality_first():
    rows = measures({"fvu": 0.2, "state_f1": 0.5}, {"fvu": 0.1})

    assert rows[0] == {"metric": "fvu", "old": 0.2, "new": 0.1}
    assert rows[-1] == {"metric": "state_f1", "old": 0.5, "new": None}
    assert len(rows) == 6
