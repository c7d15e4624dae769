"""A dictionary is trained again by its policy, and by nothing else."""

import pytest

from orchestration.partitions import Cell
from orchestration.refs import Ref
from orchestration.retraining import held_back
from sae.config import parse_config

CELL = Cell("dictionary_candidate", "w.layers.3.one")
SET, RECIPE = "activation_set[w.layers.3]", "recipe_config[one]"


def config(retrain):
    return parse_config(
        f"""
models: {{w: {{source: world}}}}
corpora: {{world: {{source: world, shards: 2}}}}
sites: [{{model: w, hookpoint: layers.3, corpora: [world]}}]
dictionaries: {{one: {{architecture: topk, latents: 8, k: 2, retrain: {retrain}}}}}
""".encode(),
        "atlas.yaml",
    )


def facts(*shards, model="m"):
    entries = [
        {"record": {"shard": name, "data_version": version, "statistics": {"n_trainable": 100}}}
        for name, version in shards
    ]
    return {"model": {"model_id": model}, "activation_set": {"shards": entries}}


OLD = facts(("a", "1"), ("b", "1"))


def held(retrain, now, *, recipe="r", code="1"):
    then = Ref(*CELL, "d", "k", "1", {SET: "s1", RECIPE: "r"}, {}, OLD)
    activations = Ref("activation_set", "w.layers.3", "s2", "k", "1", {}, {}, now)
    return held_back(CELL, config(retrain), then, activations, code, {SET: "s2", RECIPE: recipe})


@pytest.mark.parametrize(
    ("retrain", "now", "trains"),
    [
        ("on_change", facts(("a", "1"), ("b", "2")), True),
        ("manual", facts(("a", "2"), ("b", "2"), ("c", "1")), False),
        ("{every_tokens: 200}", facts(("a", "1"), ("b", "1"), ("c", "1")), False),
        ("{every_tokens: 200}", facts(("a", "1"), ("b", "2"), ("c", "1")), True),
        ("{every_tokens: 200}", facts(("a", "1")), False),
    ],
    ids=["any change", "by hand", "too few tokens", "a new and a changed shard are enough", "a shard is gone"],
)
def test_new_activations_train_by_the_policy(retrain, now, trains):
    assert (held(retrain, now) is None) == trains


@pytest.mark.parametrize("retrain", ["manual", "{every_tokens: 1_000_000}"])
def test_what_is_no_new_activation_never_waits(retrain):
    now = facts(("a", "1"), ("b", "1"), ("c", "1"))

    assert held(retrain, now)
    assert held(retrain, now, recipe="r2") is None
    assert held(retrain, now, code="2") is None
    assert held(retrain, facts(("a", "1"), ("b", "1"), ("c", "1"), model="m2")) is None


def test_how_much_is_wanting_is_said():
    now = facts(("a", "1"), ("b", "1"), ("c", "1"))

    assert held("{every_tokens: 5_000}", now) == "100 of the 5,000 new tokens that train it again"
