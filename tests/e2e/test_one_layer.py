"""The preset `one-layer` in small: a model trained here, its features beside its neurons, and another seed's."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_pipeline import ROOT, made_since, run

from sae.catalog import open_catalog
from sae.config import load_workspace
from sae.storage import Store

PLACE = "gpt_neox.layers.0.mlp.act"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: dict[str, Any] = yaml.safe_load((ROOT / "orchestration/presets/one-layer.yaml").read_text())
    for model in made["models"].values():
        model["tokens"] = 8192
    made["corpora"]["pydocs"] |= {"shards": 2, "tokens": 3000}
    made["dictionaries"]["features"] |= {"latents": 64, "tokens": 40_000, "batch": 512, "dead_after": 2000}
    made["checks"] |= {"fvu": 1.0, "dead": 1.0, "loss_recovered": -100, "worse_by": 100}
    path = tmp_path_factory.mktemp("one-layer") / "atlas.yaml"
    path.write_text(yaml.safe_dump(made))
    return path


def test_features_stand_beside_neurons_and_another_seeds_features(config: Path) -> None:
    outcome = run(config)

    assert not outcome.failed
    with open_catalog(Store(load_workspace(config).store)) as catalog:
        sizes = catalog.sql("select architecture, d_in, d_sae, fvu from dictionaries order by architecture, site")
        rows = catalog.sql(
            "select e.* from evaluation e join dictionaries d using (dictionary_id) "
            "where d.recipe = 'features' and d.site like 'one-layer%'"
        ).to_dicts()
        logits = catalog.sql(
            "select count(distinct token_id) as n from logit_weights w join dictionaries d "
            "on w.dictionary_id = d.dictionary_id where d.recipe = 'neurons'"
        ).item()
    assert sizes.select("architecture", "d_in", "d_sae").rows() == 2 * [("l1", 512, 64)] + 2 * [("neurons", 512, 512)]
    assert sizes["fvu"].to_list()[2:] == pytest.approx([0, 0], abs=1e-9)
    assert logits > 100
    measured = {row["metric"]: row for row in rows}
    wanted = {"ultralow_density", "unlike_neurons", "logit_median", "label_rule", "universality"}
    assert wanted <= set(measured)
    assert measured["logit_median"]["value"] < 1e-5 < measured["logit_median"]["control"]
    assert 0 <= measured["universality"]["value"] <= 1
    assert json.loads(measured["universality"]["details"])["n_neurons"] > 100
    assert 0.4 < measured["label_rule"]["control"] <= 1
    _, cursor = made_since(config, 0)

    assert not run(config).failed
    assert made_since(config, cursor)[0] == []
