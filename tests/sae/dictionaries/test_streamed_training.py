"""Training on activations harvested as they are due: as good as on stored ones, one harvest for many recipes."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
import torch
from tiny_models import D_MODEL, tiny_documents, tiny_subject

from sae.activations.harvest import harvest
from sae.activations.manifest import ShardRecord, Streaming, measure_shard
from sae.activations.reader import ShuffledReader, held_out_batches
from sae.activations.shard import save_shard, shard_version
from sae.activations.source import ActivationSource, StoredActivations
from sae.activations.stream import StreamedActivations
from sae.config import RecipeConfig
from sae.dictionaries.checkpoints import Checkpoints
from sae.dictionaries.metrics import evaluate
from sae.dictionaries.resumable import Resumable, train_resumably
from sae.dictionaries.training import TrainedSAE, Training
from sae.storage import Store

RECIPES = [
    RecipeConfig(architecture="topk", latents=latents, k=4, batch=64, tokens=64 * 300, learning_rate=5e-3)
    for latents in (24, 48)
]
DOCUMENTS = {
    f"tiny-{number:05d}": tiny_documents(
        [f"{number * 31 + i} of {i * i} bridges in " + "a b " * (i % 7) for i in range(40)]
    )
    for number in range(5)
}


class _Site:
    """A small site in both modes."""

    def __init__(self, folder: Path):
        self.harvested: list[str] = []
        self.store = store = Store(str(folder / "store"))
        subject = tiny_subject("llama", folder)
        self.records = []
        for name, documents in DOCUMENTS.items():
            shard = harvest(subject, ["layers.1"], documents, batch_tokens=256)["layers.1"]
            with store.writing(f"a/{name}.safetensors") as tensors, store.writing(f"a/{name}.parquet") as tokens:
                save_shard(shard, tensors, tokens)
            files = store.describe(f"a/{name}.safetensors"), store.describe(f"a/{name}.parquet")
            self.records.append(ShardRecord(name, shard_version(shard), *files, measure_shard(shard)))

        def documents_of(shard: str):
            self.harvested.append(shard)
            return DOCUMENTS[shard]

        self.cached = StoredActivations(store)
        self.streamed = StreamedActivations(store, subject, "layers.1", Streaming(256, "float32"), documents_of)

    def train(
        self, source: ActivationSource, recipes: Sequence[RecipeConfig] = RECIPES, at_once: int = 1
    ) -> tuple[list[TrainedSAE], int]:
        """Recipes on one reading of all shards but the last, through a buffer of two shards; rows of an epoch."""
        openers = [partial(source.open, record) for record in self.records[:-1]]
        rows = max(record.statistics.n_trainable for record in self.records)
        reader = ShuffledReader(openers, 64, 0, 64 * 300, buffer_bytes=2 * rows * D_MODEL * 4)

        def training(recipe: RecipeConfig, first_batch: torch.Tensor | None) -> Training:
            return Training(recipe, D_MODEL, 1.0, torch.zeros(D_MODEL), first_batch, seed=0)

        never = Checkpoints(self.store, "none")
        members = [Resumable(partial(training, recipe), never, every=3600) for recipe in recipes]
        trained = train_resumably(members, reader, at_once)
        return [one for one in trained if isinstance(one, TrainedSAE)], reader.n_trainable

    def fvu(self, trained: TrainedSAE) -> float:
        opener = partial(self.cached.open, self.records[-1])
        return evaluate(trained.dictionary, held_out_batches([opener], 256)).fvu


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> _Site:
    return _Site(tmp_path_factory.mktemp("site"))


def test_several_recipes_share_one_harvest_and_are_as_good_as_on_stored_activations(site: _Site):
    (cached, _), (streamed, n_rows) = site.train(site.cached), site.train(site.streamed)

    epochs = 64 * 300 / n_rows
    assert len(site.harvested) <= 4 * (epochs + 1), "each shard once an epoch, whatever the number of recipes"
    for one, other in zip(cached, streamed, strict=True):
        assert site.fvu(one) < 0.5
        assert site.fvu(other) == pytest.approx(site.fvu(one), rel=0.1)


def test_trained_side_by_side_each_recipe_ends_as_it_does_alone(site: _Site):
    together, _ = site.train(site.cached, at_once=2)
    alone = [trained for recipe in RECIPES for trained in site.train(site.cached, [recipe])[0]]

    for one, other in zip(together, alone, strict=True):
        for part in ("W_enc", "W_dec", "b_enc", "b_dec"):
            assert torch.equal(getattr(one.dictionary, part), getattr(other.dictionary, part)), part
        assert one.history == other.history
