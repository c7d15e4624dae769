"""The preset `one-layer` in small: a model trained here, its features beside its neurons, and another seed's."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from tiny_pipeline import ROOT, run

from orchestration.partitions import Cell
from orchestration.refs import read_ref, ref_path
from orchestration.runner import open_session, refresh
from sae.catalog import open_catalog
from sae.config import load_workspace
from sae.storage import Store

pytestmark = pytest.mark.slow

PLACE = "gpt_neox.layers.0.mlp.act"
FEATURES, NEURONS, TWIN = f"one-layer.{PLACE}.features", f"one-layer.{PLACE}.neurons", f"other-seed.{PLACE}.features"
UNNEEDED = (
    *("feature_map", "neighbors", "attributions", "attribution_edges", "steering"),
    *("cross_neighbors", "feature_matches", "catalog_candidate", "catalog"),
)
"""What the checks do not read."""
METRICS = {"ultralow_density", "logit_median", "label_rule", "universality"}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The preset with little of everything, made as far as the checks."""
    made: dict[str, Any] = yaml.safe_load((ROOT / "orchestration/presets/one-layer.yaml").read_text())
    for model in made["models"].values():
        model["tokens"] = 8192
    made["corpora"]["pydocs"] |= {"shards": 2, "tokens": 3000}
    made["dictionaries"]["features"] |= {"latents": 64, "tokens": 40_000, "batch": 512, "dead_after": 2000}
    made["checks"] |= {"fvu": 1.0, "dead": 1.0, "loss_recovered": -100, "worse_by": 100}
    path = tmp_path_factory.mktemp("one-layer") / "atlas.yaml"
    path.write_text(yaml.safe_dump(made))
    outcome = refresh(
        open_session(load_workspace(path)),
        trigger="test",
        select=lambda cell: cell.asset not in UNNEEDED,
        say=lambda line: None,
    )
    assert not outcome.failed
    return path


def test_features_stand_beside_neurons_and_another_seeds_features(config: Path) -> None:
    store = Store(load_workspace(config).store)
    neurons = read_ref(store, Cell("dictionary", NEURONS))
    assert neurons

    measured, evaluated = _rows(store, "neuron_checks", FEATURES), _rows(store, "evaluation", FEATURES)

    assert set(measured) == METRICS
    assert "unlike_neurons" in evaluated
    assert not measured.keys() & evaluated.keys()
    assert measured["logit_median"]["value"] < 1e-5 < measured["logit_median"]["control"]
    assert 0 <= measured["universality"]["value"] <= 1
    assert json.loads(measured["universality"]["details"])["n_neurons"] > 100
    assert 0.4 < measured["label_rule"]["control"] <= 1
    assert (neurons.facts["d_sae"], neurons.facts["quality"]["fvu"]) == (512, pytest.approx(0, abs=1e-9))
    assert neurons.facts["quality"]["loss_recovered"] == pytest.approx(1, abs=1e-3)


def test_a_twin_that_its_gate_turns_down_costs_the_other_its_universality_alone(config: Path) -> None:
    store = Store(load_workspace(config).store)
    worse, better = sorted((FEATURES, TWIN), key=lambda pair: -_fvu(store, pair))
    strict = yaml.safe_load(config.read_text())
    strict["checks"]["fvu"] = (_fvu(store, worse) + _fvu(store, better)) / 2
    store.delete(ref_path(Cell("dictionary", worse)))
    other = config.with_name("strict.yaml")
    other.write_text(yaml.safe_dump(strict))

    outcome = refresh(
        open_session(load_workspace(other)),
        trigger="test",
        select=lambda cell: cell.asset in ("dictionary", "neuron_checks"),
    )

    rows = _rows(store, "neuron_checks", better)
    assert set(outcome.failed) == {Cell("dictionary", worse), Cell("neuron_checks", worse)}
    assert set(rows) == METRICS
    assert (rows["universality"]["value"], rows["universality"]["n"]) == (None, 0)
    assert json.loads(rows["universality"]["details"])["missing"] == worse
    assert rows["label_rule"]["value"] is not None


@pytest.mark.slow
def test_they_are_published_like_any_other_dictionary(config: Path) -> None:
    outcome = run(config)

    assert not outcome.failed
    with open_catalog(Store(load_workspace(config).store)) as catalog:
        sizes = catalog.sql("select architecture, d_in, d_sae from dictionaries order by architecture, site").rows()
        rows = catalog.sql("select metric from evaluation where metric = 'universality'").height
        logits = catalog.sql(
            "select count(distinct token_id) as n from logit_weights w join dictionaries d "
            "on w.dictionary_id = d.dictionary_id where d.recipe = 'neurons'"
        ).item()
    assert sizes == 2 * [("l1", 512, 64)] + 2 * [("neurons", 512, 512)]
    assert rows == 2
    assert logits > 100
    assert run(config).made == []


def _rows(store: Store, asset: str, pair: str) -> dict[str, dict[str, Any]]:
    found = read_ref(store, Cell(asset, pair))
    assert found
    return {row["metric"]: row for row in pl.read_parquet(store.verify(found.files["evaluation"])).to_dicts()}


def _fvu(store: Store, pair: str) -> float:
    found = read_ref(store, Cell("dictionary", pair))
    assert found
    return found.facts["quality"]["fvu"]
