from typing import Any

from sae.config import AtlasConfig
from sae.config.compared import Comparison, comparisons


def config(**changes: Any) -> AtlasConfig:
    made: dict[str, Any] = {
        "models": {"a": {"source": "one_layer"}, "b": {"source": "one_layer", "seed": 1}},
        "corpora": {"docs": {"source": "python_docs"}},
        "sites": [{"model": m, "hookpoint": "mlp.act", "corpora": ["docs"]} for m in ("a", "b")],
        "dictionaries": {
            "features": {"architecture": "l1", "latents": 8},
            "neurons": {"architecture": "neurons", "sites": ["a.mlp.act", "b.mlp.act"]},
        },
    }
    return AtlasConfig.model_validate(made | changes)


def test_a_dictionary_is_compared_with_its_neurons_and_its_twin() -> None:
    assert comparisons(config()) == {
        "a.mlp.act.features": Comparison("a.mlp.act.neurons", "b.mlp.act.features", "b.mlp.act.neurons"),
        "b.mlp.act.features": Comparison("b.mlp.act.neurons", "a.mlp.act.features", "a.mlp.act.neurons"),
    }


def test_models_that_differ_in_more_than_their_seed_are_no_twins() -> None:
    models = {"a": {"source": "one_layer"}, "b": {"source": "one_layer", "seed": 1, "tokens": 7}}

    assert comparisons(config(models=models))["a.mlp.act.features"] == Comparison("a.mlp.act.neurons")


def test_without_a_recipe_for_neurons_nothing_is_compared() -> None:
    assert comparisons(config(dictionaries={"features": {"architecture": "l1", "latents": 8}})) == {}
