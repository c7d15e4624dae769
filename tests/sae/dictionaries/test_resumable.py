"""Several trainings on one reading: each ends as if it were alone."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from hand_made import make_shard

from sae.activations.reader import ShuffledReader
from sae.config import RecipeConfig
from sae.dictionaries.checkpoints import Checkpoints
from sae.dictionaries.layout import dictionary_id
from sae.dictionaries.resumable import Resumable, train_resumably
from sae.dictionaries.training import TrainedSAE, Training
from sae.errors import AtlasError
from sae.storage import Store

SHORT = RecipeConfig(architecture="topk", latents=24, k=3, batch=32, tokens=32 * 21 + 5)
LONG = RecipeConfig(architecture="batchtopk", latents=16, k=2, batch=32, tokens=32 * 40)
WILD = SHORT.model_copy(update={"learning_rate": 1e30, "warmup": 0.5})


class _KilledError(Exception):
    """Stands for a kill that lands between two steps."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def _train(
    recipes: dict[str, RecipeConfig],
    store: Store,
    on_step: Callable[[int, int], None] = lambda done, total: None,
    every: float = 3600.0,
) -> list[TrainedSAE | AtlasError]:
    values = torch.randn(300, 8, generator=torch.Generator().manual_seed(0))
    tokens = max(recipe.tokens for recipe in recipes.values())
    reader = ShuffledReader([lambda: make_shard(values, [0])], 32, 5, tokens, buffer_bytes=1)
    members = [
        Resumable(partial(_training, recipe), Checkpoints(store, name), every, on_step)
        for name, recipe in recipes.items()
    ]
    return train_resumably(members, reader)


def _training(recipe: RecipeConfig, first_batch: torch.Tensor | None) -> Training:
    return Training(recipe, 8, 1.0, torch.zeros(8), first_batch, seed=5)


def _ids(trained: list[TrainedSAE | AtlasError]) -> list[str]:
    return [dictionary_id(one.dictionary) for one in trained if isinstance(one, TrainedSAE)]


def test_recipes_of_different_lengths_end_as_if_alone(store: Store) -> None:
    together = _train({"short": SHORT, "long": LONG}, store)

    alone = [*_train({"a": SHORT}, store), *_train({"b": LONG}, store)]
    assert _ids(together) == _ids(alone)
    for one, other in zip(together, alone, strict=True):
        assert isinstance(one, TrainedSAE)
        assert isinstance(other, TrainedSAE)
        assert one.history == other.history
    assert isinstance(together[0], TrainedSAE)
    assert together[0].history[-1].tokens == SHORT.tokens


def test_trainings_killed_at_different_steps_go_on_together(store: Store) -> None:
    def dies(done: int, total: int) -> None:
        if done >= 32 * 12:
            raise _KilledError

    whole = _train({"a": SHORT, "b": LONG}, store)
    with pytest.raises(_KilledError):
        _train({"short": SHORT}, store, dies, every=0.0)
    steps: list[int] = []

    resumed = _train({"short": SHORT, "long": LONG}, store, lambda done, total: steps.append(total))

    assert _ids(resumed) == _ids(whole)
    assert steps.count(SHORT.tokens) == 22 - 12
    assert steps.count(LONG.tokens) == 40


def test_one_that_diverges_stops_no_other_and_keeps_its_state(store: Store) -> None:
    wild, calm = _train({"wild": WILD, "calm": LONG}, store, every=0.0)

    assert isinstance(wild, AtlasError)
    assert "after step" in str(wild)
    assert Checkpoints(store, "wild").latest(pytest.fail) is not None
    assert _ids([calm]) == _ids(_train({"alone": LONG}, store))
