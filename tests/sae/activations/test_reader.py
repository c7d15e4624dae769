import math
from functools import partial
from pathlib import Path

import pytest
import torch
from hand_made import make_shard
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sae.activations.reader import ShuffledReader, held_out_batches
from sae.activations.shard import ActivationShard, open_shard, save_shard
from sae.errors import AtlasError


def _numbered(sizes: list[int], dtype: torch.dtype = torch.float32) -> list[ActivationShard]:
    """Shards whose rows hold their own number; the first row of each is special and the third massive."""
    firsts = [sum(sizes[:n]) for n in range(len(sizes))]
    return [
        make_shard(torch.arange(first, first + size).to(dtype)[:, None].expand(-1, 2).contiguous(), [0], [2])
        for first, size in zip(firsts, sizes, strict=True)
    ]


def _openers(shards: list[ActivationShard]):
    return [partial(lambda shard: shard, shard) for shard in shards]


def _trainable(shards: list[ActivationShard]) -> list[float]:
    return torch.cat([shard.values[shard.trainable, 0].float() for shard in shards]).tolist()


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(4, 3000), min_size=1, max_size=4), st.integers(1, 700), st.integers(0, 2**31), st.booleans()
)
def test_an_epoch_gives_every_trainable_row_once(sizes: list[int], batch: int, seed: int, small_buffer: bool):
    shards = _numbered(sizes)
    wanted = _trainable(shards)
    buffer = 1 if small_buffer else 2**20

    reader = ShuffledReader(_openers(shards), batch, seed, 2 * len(wanted), buffer)
    batches = list(reader)

    rows = torch.cat(batches)[:, 0].tolist()
    assert sorted(rows[: len(wanted)]) == wanted
    assert sorted(rows[len(wanted) :]) == wanted
    assert [len(b) for b in batches[:-1]] == [batch] * (len(batches) - 1)
    assert len(batches) == len(reader)
    assert reader.n_trainable == len(wanted)


@pytest.mark.parametrize("buffer", [1, 2**20])
def test_the_seed_alone_decides_the_order(buffer: int):
    shards = _numbered([3000, 2000])

    def read(seed: int) -> Tensor:
        return torch.cat(list(ShuffledReader(_openers(shards), 64, seed, 12_000, buffer)))

    assert torch.equal(read(0), read(0))
    assert not torch.equal(read(0), read(1))
    first, second = read(0)[:4996], read(0)[4996:9992]
    assert not torch.equal(first, second)


def test_shards_are_mixed_within_a_batch():
    shards = _numbered([4000, 4000])

    batch = next(iter(ShuffledReader(_openers(shards), 256, 0, 256)))

    assert 64 < int((batch[:, 0] < 4000).sum()) < 192


def test_tokens_bound_what_is_given_out():
    reader = ShuffledReader(_openers(_numbered([100])), 64, 0, 1000)

    assert [len(batch) for batch in reader] == [64] * 15 + [40]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_batches_are_float32_from_any_stored_format(dtype: torch.dtype, tmp_path: Path):
    openers = []
    for number, shard in enumerate(_numbered([50, 60], dtype)):
        paths = tmp_path / f"{number}.safetensors", tmp_path / f"{number}.parquet"
        save_shard(shard, *paths)
        openers.append(partial(open_shard, *paths))

    assert {batch.dtype for batch in ShuffledReader(openers, 16, 0, 200)} == {torch.float32}
    assert {batch.dtype for batch in held_out_batches(openers, 16)} == {torch.float32}


def test_held_out_rows_come_in_their_order_once():
    shards = _numbered([30, 9])

    batches = list(held_out_batches(_openers(shards), 8))

    assert torch.cat(batches)[:, 0].tolist() == _trainable(shards)
    assert max(len(batch) for batch in batches) == 8


def test_a_nan_is_refused_unless_it_is_left_out_anyway():
    shards = _numbered([30])
    values = shards[0].values.clone()
    values[2] = math.nan
    massive = _openers([ActivationShard(shards[0].tokens, values)])
    assert len(list(ShuffledReader(massive, 7, 0, 28))) == 4

    values = values.clone()
    values[9, 1] = math.nan
    broken = _openers([ActivationShard(shards[0].tokens, values)])
    with pytest.raises(AtlasError, match="not finite"):
        list(ShuffledReader(broken, 7, 0, 28))
    with pytest.raises(AtlasError, match="not finite"):
        list(held_out_batches(broken, 7))


def test_shards_without_a_trainable_row_are_refused():
    with pytest.raises(AtlasError, match="no trainable token"):
        ShuffledReader(_openers([make_shard(torch.ones(2, 3), [0, 1])]), 8, 0, 8)
    with pytest.raises(AtlasError, match="no trainable token"):
        ShuffledReader([], 8, 0, 8)
