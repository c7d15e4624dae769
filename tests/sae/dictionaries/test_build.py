import json
from pathlib import Path

import polars as pl
import pytest
import torch

from sae.activations.harvest import harvest
from sae.activations.manifest import ActivationSet, ShardRecord, build_activation_set, measure_shard
from sae.activations.shard import save_shard, shard_version
from sae.activations.source import StoredActivations
from sae.config import RecipeConfig
from sae.dictionaries.build import Build, BuiltDictionary, build_dictionaries, build_dictionary, curve_table
from sae.dictionaries.checkpoints import Checkpoints
from sae.dictionaries.layout import dictionary_id, load_dictionary
from sae.dictionaries.measured import still_silent
from sae.dictionaries.resumable import train_resumably
from sae.dictionaries.training import TrainingPoint
from sae.models.subject import Subject
from sae.storage import Store

RECIPE = RecipeConfig(architecture="topk", latents=12, k=2, batch=32, tokens=3200, learning_rate=1e-2, seed=4)


def documents(first: int, n: int) -> pl.DataFrame:
    texts = [" ".join(str(1 + (i * j + j) % 3) for j in range(6)) for i in range(first, first + n)]
    return pl.DataFrame(
        {
            "document_id": [str(first + i) for i in range(n)],
            "text": texts,
            "modality": "text",
            "language": "en",
            "image": pl.Series([None] * n, dtype=pl.Binary),
        }
    )


@pytest.fixture
def site(five_words: Subject, tmp_path: Path) -> tuple[ActivationSet, Store]:
    store = Store(str(tmp_path / "store"))
    records = []
    for number in range(2):
        shard = harvest(five_words, ["layers.1"], documents(40 * number, 40), batch_tokens=64)["layers.1"]
        stem = f"activations/tiny/words-0000{number}"
        with store.writing(f"{stem}.safetensors") as tensors, store.writing(f"{stem}.parquet") as tokens:
            save_shard(shard, tensors, tokens)
        records.append(
            ShardRecord(
                shard=f"words-0000{number}",
                data_version=shard_version(shard),
                tensors=store.describe(f"{stem}.safetensors"),
                tokens=store.describe(f"{stem}.parquet"),
                statistics=measure_shard(shard),
            )
        )
    return build_activation_set("five-words.layers.1", "layers.1", "sqrt_d", records), store


def test_a_site_becomes_a_dictionary_in_a_folder(
    site: tuple[ActivationSet, Store], five_words: Subject, tmp_path: Path
) -> None:
    activation_set, store = site

    built = build_dictionary(
        Build(RECIPE, tmp_path / "made", {"recipe": "plain"}, Checkpoints(store, "key")),
        activation_set,
        StoredActivations(store),
        five_words,
        documents(40, 10),
    )

    opened = load_dictionary(tmp_path / "made")
    assert built.dictionary_id == dictionary_id(opened)
    assert opened.metadata["hook_name"] == "layers.1"
    assert opened.metadata["prepend_bos"] is True
    assert built.facts == {"architecture": "topk", "d_in": 6, "d_sae": 12, "k": 2, "tokens_trained": 3200}
    # Three words, so three vectors: two latents reach each of them.
    assert built.quality["fvu"] is not None
    assert built.quality["fvu"] < 0.05
    assert built.quality["loss_recovered"] == pytest.approx(1, abs=0.1)
    assert built.quality["n_predicted"] == 60
    provenance = json.loads((tmp_path / "made" / "provenance.json").read_text())
    assert provenance["recipe"] == "plain"
    assert provenance["normalisation"] == {"kind": "sqrt_d", "scale": activation_set.scale}
    assert provenance["quality"] == built.quality
    assert provenance["history"][-1]["tokens"] == 3200


def test_the_same_site_and_recipe_make_the_same_dictionary(
    site: tuple[ActivationSet, Store], five_words: Subject, tmp_path: Path
) -> None:
    activation_set, store = site

    first, again, other = (
        build_dictionary(
            Build(recipe, tmp_path / str(number), {}, Checkpoints(store, str(number))),
            activation_set,
            StoredActivations(store),
            five_words,
            documents(40, 3),
        ).dictionary_id
        for number, recipe in enumerate([RECIPE, RECIPE, RECIPE.model_copy(update={"seed": 5})])
    )

    assert first == again != other


def test_small_recipes_share_a_reading_and_large_ones_have_one_of_their_own(
    site: tuple[ActivationSet, Store], five_words: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    activation_set, store = site
    recipes = [RECIPE.model_copy(update={"latents": latents}) for latents in (12, 40, 8, 48)]
    # From 40 latents on, a step takes more than one thread.
    monkeypatch.setattr("sae.threads._ONE_THREAD_PRODUCTS", RECIPE.batch * activation_set.d_model * 40)
    readings: list[int] = []
    monkeypatch.setattr(
        "sae.dictionaries.build.train_resumably",
        lambda trainings, *more: readings.append(len(trainings)) or train_resumably(trainings, *more),
    )

    def build(number: int, name: str) -> Build:
        return Build(recipes[number], tmp_path / name, {}, Checkpoints(store, name))

    given = activation_set, StoredActivations(store), five_words, documents(40, 3)
    together = build_dictionaries([build(number, f"with-{number}") for number in range(4)], *given)
    ids = {one.recipe.latents: made.dictionary_id for one, made in together if isinstance(made, BuiltDictionary)}

    assert sorted(readings) == [1, 1, 2]
    for number, recipe in enumerate(recipes):
        assert ids[recipe.latents] == build_dictionary(build(number, f"alone-{number}"), *given).dictionary_id


def test_a_latent_that_fires_only_on_train_tokens_is_not_dead(make_dictionary) -> None:
    dictionary = make_dictionary("standard")
    x = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))
    fires = (dictionary.encode(x) > 0).any(dim=0)

    silent = still_silent(dictionary, torch.ones(10, dtype=torch.bool), [x[:10], x[10:]])

    assert torch.equal(silent, ~fires)
    assert not still_silent(dictionary, torch.zeros(10, dtype=torch.bool), [x]).any()


@pytest.mark.parametrize("n", [1, 5, 12, 13, 200])
def test_the_curve_has_at_most_a_dozen_rows_and_ends_at_the_last_step(n: int) -> None:
    history = [TrainingPoint(i, 10 * i, 1.0, 0.5, 2.0, 0.1, 1e-3, 1.0) for i in range(n)]

    lines = curve_table(history).splitlines()

    assert 3 <= len(lines) <= 2 + 12
    assert lines[2].startswith("| 0 | 0 |")
    assert lines[-1].startswith(f"| {n - 1} |")
