"""At a streamed site the model runs once for all recipes that are to be trained, and each is what it is alone."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tiny_pipeline import SITE, write_config

import sae.activations.stream
import sae.dictionaries.build
from orchestration.partitions import Cell
from orchestration.refs import read_ref
from orchestration.runner import Outcome, open_session, refresh
from sae.config import load_workspace
from sae.storage import Store

pytestmark = pytest.mark.slow

RECIPES = {
    "large": {"architecture": "matryoshka", "groups": [16, 24], "k": [3, 2], "tokens": 12_000, "batch": 512},
    "small": {"architecture": "topk", "latents": 20, "k": 4, "tokens": 9_000, "batch": 512},
}
UPSTREAM = {"subject_model", "hookpoints", "corpus", "activations", "activation_set"}


def make(folder: Path, select: Callable[[Cell], bool]) -> Outcome:
    return refresh(open_session(load_workspace(folder / "atlas.yaml")), trigger="test", select=select)


def candidates(folder: Path) -> dict[str, Any]:
    refs = [read_ref(Store(str(folder / "store")), Cell("dictionary_candidate", f"{SITE}.{name}")) for name in RECIPES]
    return {str(ref.partition): (ref.data_version, ref.run_id) for ref in refs if ref}


@pytest.fixture
def harvested(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Of each reading for training, one batch after the other: the recipes it feeds, the shards the model read."""
    readings: list[tuple[int, int]] = []
    passes: list[str] = []
    harvest, train_resumably = sae.activations.stream.harvest, sae.dictionaries.build.train_resumably

    def counted_harvest(*arguments: Any, **named: Any) -> Any:
        passes.append("one shard")
        return harvest(*arguments, **named)

    def counted_training(trainings: Sequence[Any], reader: Any, at_once: int) -> Any:
        assert at_once == 1, "threads that train beside a harvest would give it other bits"
        before = len(passes)
        trained = train_resumably(trainings, reader, at_once)
        readings.append((len(trainings), len(passes) - before))
        return trained

    monkeypatch.setattr(sae.activations.stream, "harvest", counted_harvest)
    monkeypatch.setattr(sae.dictionaries.build, "train_resumably", counted_training)
    return readings


def test_the_model_runs_once_for_all_recipes(tmp_path: Path, harvested: list[tuple[int, int]]) -> None:
    def streamed(config: dict[str, Any]) -> None:
        config["models"]["world-lm"]["steps"] = 2
        config["corpora"]["world"]["shards"] = 3
        config["sites"][0]["mode"] = "streamed"
        config["dictionaries"] = RECIPES

    together, apart = tmp_path / "together", tmp_path / "apart"
    together.mkdir()
    write_config(together, streamed)
    make(together, lambda cell: cell.asset in UPSTREAM)
    shutil.copytree(together, apart)

    outcome = make(together, lambda cell: cell.asset == "dictionary_candidate")
    of_both = list(harvested)
    for name in RECIPES:
        make(apart, lambda cell, name=name: cell == Cell("dictionary_candidate", f"{SITE}.{name}"))

    assert outcome.failed == {}
    train_shards = of_both[0][1]
    assert train_shards in (1, 2)
    assert of_both == [(2, train_shards)]
    assert harvested[1:] == [(1, train_shards)] * 2
    shared, alone = candidates(together), candidates(apart)
    assert {pair: version for pair, (version, _) in shared.items()} == {p: v for p, (v, _) in alone.items()}
    assert len({run for _, run in shared.values()}) == 1
