from collections.abc import Callable
from functools import partial
from pathlib import Path

import polars as pl
import pytest
import torch
from tiny_models import tiny_documents
from torch import Tensor

from sae.activations import stream
from sae.activations.harvest import harvest
from sae.activations.manifest import (
    ActivationSet,
    ShardRecord,
    Streaming,
    activation_set_from_json,
    activation_set_to_json,
    build_activation_set,
    measure_shard,
)
from sae.activations.reader import ShuffledReader, held_out_batches
from sae.activations.shard import save_shard, shard_version
from sae.activations.source import ActivationSource, StoredActivations
from sae.activations.stream import StreamedActivations
from sae.errors import AtlasError
from sae.models.subject import Subject
from sae.storage import Store

HOOKPOINT = "layers.1"
STREAMING = Streaming(batch_tokens=64, dtype="bfloat16")
DOCUMENTS = {
    f"tiny-{number:05d}": tiny_documents([f"Text {number} {i} says " + "la " * (i % 9) for i in range(30)])
    for number in range(4)
}


@pytest.fixture
def stored(llama: Subject, tmp_path: Path) -> tuple[Store, list[ShardRecord]]:
    """Both kinds of a shard's files: a streamed site keeps the second only."""
    store = Store(str(tmp_path / "store"))
    records = []
    for name, documents in DOCUMENTS.items():
        shard = harvest(llama, [HOOKPOINT], documents, batch_tokens=64, dtype=torch.bfloat16)[HOOKPOINT]
        with store.writing(f"a/{name}.safetensors") as tensors, store.writing(f"a/{name}.parquet") as tokens:
            save_shard(shard, tensors, tokens)
        files = store.describe(f"a/{name}.safetensors"), store.describe(f"a/{name}.parquet")
        records.append(ShardRecord(name, shard_version(shard), *files, measure_shard(shard)))
    return store, records


def _streamed(store: Store, subject: Subject, read: Callable[[str], pl.DataFrame] = DOCUMENTS.__getitem__):
    return StreamedActivations(store, subject, HOOKPOINT, STREAMING, read)


def _rows(batches: list[Tensor]) -> list[list[float]]:
    return sorted(torch.cat(batches).tolist())


def _openers(source: ActivationSource, records: list[ShardRecord]):
    return [partial(source.open, record) for record in records]


def test_a_streamed_shard_is_the_stored_one(stored, llama: Subject):
    store, records = stored
    cached, streamed = StoredActivations(store), _streamed(store, llama)

    for record in records:
        one, other = cached.open(record), streamed.open(record)
        assert torch.equal(one.values, other.values)
        assert one.tokens.equals(other.tokens)
        assert torch.equal(one.trainable, other.trainable)
        assert (one.d_model, one.dtype, one.massive_norm) == (other.d_model, other.dtype, other.massive_norm)


def test_both_modes_give_the_same_rows_once_an_epoch(stored, llama: Subject):
    store, records = stored
    n = sum(record.statistics.n_trainable for record in records)

    cached, streamed = (
        list(ShuffledReader(_openers(source, records), 32, 3, 2 * n, buffer_bytes=10_000))
        for source in (StoredActivations(store), _streamed(store, llama))
    )

    assert _rows(cached) == _rows(streamed)
    assert [len(batch) for batch in cached] == [len(batch) for batch in streamed]
    held_out = [
        list(held_out_batches(_openers(s, records), 7)) for s in (StoredActivations(store), _streamed(store, llama))
    ]
    assert all(torch.equal(one, other) for one, other in zip(*held_out, strict=True))


def test_a_set_that_fits_into_the_buffer_gives_the_same_batches(stored, llama: Subject):
    store, records = stored

    cached, streamed = (
        ShuffledReader(_openers(source, records), 32, 3, 1000)
        for source in (StoredActivations(store), _streamed(store, llama))
    )

    assert all(torch.equal(one, other) for one, other in zip(cached, streamed, strict=True))


def test_a_streamed_reading_goes_on_after_harvesting_one_buffer(stored, llama: Subject, monkeypatch):
    store, records = stored
    n = sum(record.statistics.n_trainable for record in records)
    asked: list[str] = []

    def documents(shard: str) -> pl.DataFrame:
        asked.append(shard)
        return DOCUMENTS[shard]

    reader = ShuffledReader(_openers(_streamed(store, llama, documents), records), 32, 3, n, buffer_bytes=1)
    assert asked == [], "opening a shard harvests nothing"
    whole = list(reader)
    assert sorted(asked) == sorted(DOCUMENTS)
    asked.clear()

    resumed = list(reader.batches(len(whole) - 1))

    assert torch.equal(resumed[0], whole[-1])
    assert len(resumed) == 1
    assert len(asked) <= 2


def test_values_are_harvested_once_while_one_shard_is_read(stored, llama: Subject, monkeypatch):
    store, records = stored
    calls: list[int] = []
    real = stream.harvest
    monkeypatch.setattr(stream, "harvest", lambda *args, **named: calls.append(1) or real(*args, **named))
    shard = _streamed(store, llama).open(records[0])

    for _ in range(3):
        list(shard.blocks())

    assert len(calls) == 1


def test_documents_that_read_otherwise_than_before_are_refused(stored, llama: Subject):
    store, records = stored
    shard = _streamed(store, llama, lambda shard: DOCUMENTS["tiny-00001"]).open(records[0])

    with pytest.raises(AtlasError, match=r"tiny-00000 as other tokens"):
        _ = shard.values


def test_the_manifest_says_how_a_streamed_site_is_read(stored, llama: Subject):
    _, records = stored
    bare = [ShardRecord(r.shard, r.data_version, None, r.tokens, r.statistics) for r in records]

    made: ActivationSet = build_activation_set("s", HOOKPOINT, "sqrt_d", bare, STREAMING)

    assert activation_set_from_json(activation_set_to_json(made)) == made
    with pytest.raises(AtlasError, match="never stored: its site is streamed"):
        StoredActivations(Store("/nowhere")).open(bare[0])
