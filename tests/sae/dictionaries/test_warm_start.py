"""A training that starts from a dictionary: where that one ended, in every architecture; refused where it cannot be."""

from functools import partial
from itertools import islice
from pathlib import Path

import pytest
import torch
from hand_made import make_shard

from sae.activations.reader import ShuffledReader
from sae.config import RecipeConfig
from sae.dictionaries.checkpoints import Checkpoints
from sae.dictionaries.dictionary import Dictionary, fold_scale, unfold_scale
from sae.dictionaries.layout import dictionary_id
from sae.dictionaries.metrics import evaluate
from sae.dictionaries.resumable import Resumable, train_resumably
from sae.dictionaries.training import TrainedSAE, Training, train
from sae.dictionaries.warm_start import Parent
from sae.errors import AtlasError
from sae.storage import Store

TOPK = RecipeConfig(architecture="topk", latents=32, k=4, batch=256, tokens=256 * 60, learning_rate=5e-3)
RECIPES = {
    "topk": TOPK,
    "batchtopk": TOPK.model_copy(update={"architecture": "batchtopk"}),
    "matryoshka": RecipeConfig(
        architecture="matryoshka", groups=(24, 8), k=(2, 1), batch=256, tokens=256 * 60, learning_rate=5e-3
    ),
    "standard": TOPK.model_copy(update={"architecture": "standard", "k": None, "l1": 1.0}),
    "l1": TOPK.model_copy(update={"architecture": "l1", "k": None, "l1": 1.0}),
    "gated": TOPK.model_copy(update={"architecture": "gated", "k": None, "l1": 2.0}),
    "jumprelu": TOPK.model_copy(update={"architecture": "jumprelu", "k": None, "l0": 0.6, "bandwidth": 0.5}),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_training_starts_where_its_parent_ended(planted, name: str) -> None:
    recipe, scale = RECIPES[name], 1.7 * planted.scale
    parent = train(recipe, planted.batches(recipe), 16, planted.scale, planted.mean, 0).dictionary
    batch = next(planted.batches(recipe))

    warm = Training(recipe, 16, scale, planted.mean, batch, seed=9, start=parent)

    started = warm.result().dictionary
    torch.testing.assert_close(started.encode(batch), parent.encode(batch), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(started.b_dec, parent.b_dec)
    fresh = Training(recipe, 16, scale, planted.mean, batch, seed=9).advance(batch)
    point = warm.advance(batch)
    assert point is not None
    assert fresh is not None
    assert point.fvu < 1.3 * evaluate(parent, [batch]).fvu
    assert point.fvu < 0.6 * fresh.fvu


def test_unfolding_is_the_inverse_of_folding(planted) -> None:
    folded = train(TOPK, planted.batches(TOPK), 16, planted.scale, planted.mean, 0).dictionary

    again = fold_scale(unfold_scale(folded, 3.7), 3.7)

    for name in ("W_enc", "b_enc", "W_dec", "b_dec"):
        torch.testing.assert_close(getattr(again, name), getattr(folded, name))


def test_a_warm_training_that_was_killed_ends_with_the_same_bits(planted, tmp_path: Path) -> None:
    recipe = RECIPES["batchtopk"]
    parent = train(recipe, planted.batches(recipe), 16, planted.scale, planted.mean, 0).dictionary
    make = partial(Training, recipe, 16, planted.scale, planted.mean, seed=1, start=parent)
    store = Store(str(tmp_path))

    class _KilledError(Exception):
        pass

    def dies(done: int, total: int) -> None:
        if done >= 256 * 20:
            raise _KilledError

    def reader() -> ShuffledReader:
        return ShuffledReader([lambda: make_shard(planted.x)], recipe.batch, 1, recipe.tokens)

    (whole,) = train_resumably([Resumable(make, Checkpoints(store, "whole"), 3600)], reader())
    with pytest.raises(_KilledError):
        train_resumably([Resumable(make, Checkpoints(store, "killed"), 0.0, dies)], reader())
    (resumed,) = train_resumably([Resumable(make, Checkpoints(store, "killed"), 3600)], reader())

    assert isinstance(whole, TrainedSAE)
    assert isinstance(resumed, TrainedSAE)
    assert dictionary_id(resumed.dictionary) == dictionary_id(whole.dictionary)
    fresh = train(recipe, islice(reader(), 60), 16, planted.scale, planted.mean, 1)
    assert dictionary_id(fresh.dictionary) != dictionary_id(whole.dictionary)


def _parent(dictionary: Dictionary, **changes: object) -> Parent:
    fields = {"architecture": "topk", "groups": (), "site": "m.layers.1", "model_id": "m1"} | changes
    return Parent("0123abcd", dictionary, **fields)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("changes", "recipe", "words"),
    [
        ({"site": "m.layers.2"}, {}, "its site is m.layers.2, not m.layers.1"),
        ({"model_id": "m0"}, {}, "its model is m0, not m1"),
        ({"architecture": "batchtopk"}, {}, "its architecture is batchtopk, not topk"),
        ({}, {"latents": 13}, "its number of latents is 12, not 13"),
        ({"groups": (8, 4)}, {}, r"its groups is \[8, 4\], not \[\]"),
    ],
)
def test_another_kind_of_dictionary_is_no_start(
    make_dictionary, changes: dict[str, object], recipe: dict[str, object], words: str
) -> None:
    parent = _parent(make_dictionary("topk", 6, 12), **changes)
    wanted = RecipeConfig(architecture="topk", latents=12, k=3).model_copy(update=recipe)

    with pytest.raises(AtlasError, match=f"0123abcd cannot be the start of this training: {words}.*start: fresh"):
        parent.start_of(wanted, 6, "m.layers.1", "m1")


def test_its_own_kind_is(make_dictionary) -> None:
    parent = _parent(make_dictionary("topk", 6, 12))

    given = parent.start_of(RecipeConfig(architecture="topk", latents=12, k=3), 6, "m.layers.1", "m1")

    assert given is parent.dictionary
