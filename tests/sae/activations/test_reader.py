import math
import os
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest
import torch
from hand_made import make_shard
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import sae
from sae.activations.order import Chunk, ReadingOrder
from sae.activations.reader import ShuffledReader, held_out_batches
from sae.activations.shard import ActivationShard, ReadValues, open_shard, save_shard
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


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(4, 3000), min_size=1, max_size=4),
    st.integers(1, 700),
    st.integers(0, 2**31),
    st.sampled_from([1, 20_000, 2**20]),
    st.data(),
)
def test_a_reading_goes_on_at_any_batch_as_if_never_left(
    sizes: list[int], batch: int, seed: int, buffer: int, data: st.DataObject
):
    shards = _numbered(sizes)
    tokens = data.draw(st.integers(1, 3 * len(_trainable(shards))))
    whole = list(ShuffledReader(_openers(shards), batch, seed, tokens, buffer))
    cut = data.draw(st.integers(0, len(whole)))

    resumed = list(ShuffledReader(_openers(shards), batch, seed, tokens, buffer).batches(cut))

    assert len(resumed) == len(whole) - cut
    assert all(torch.equal(one, other) for one, other in zip(resumed, whole[cut:], strict=True))


def test_going_on_reads_no_more_than_one_buffer_of_what_went_before():
    taken: list[int] = []

    def noted(number: int, shard: ActivationShard) -> ActivationShard:
        def read() -> Tensor:
            taken.append(number)
            return shard.values

        return ActivationShard(shard.tokens, ReadValues(read, 2, torch.float32, chunk_rows=len(shard.tokens)))

    shards = [noted(number, shard) for number, shard in enumerate(_numbered([100] * 10))]

    list(ShuffledReader(_openers(shards), 98, 0, 980, buffer_bytes=1).batches(8))

    assert len(taken) == 2


def test_an_error_of_the_reading_thread_is_raised_where_its_rows_are_due():
    def gone() -> Tensor:
        raise AtlasError("the disk is gone")

    good, bad = _numbered([1000, 1000])
    bad = ActivationShard(bad.tokens, ReadValues(gone, 2, torch.float32))
    reader = ShuffledReader(_openers([good, bad]), 499, _seed_that_reads_the_first_shard_first(), 1996, buffer_bytes=1)

    batches = iter(reader)
    assert [len(next(batches)), len(next(batches))] == [499, 499]
    with pytest.raises(AtlasError, match="the disk is gone"):
        next(batches)


def _seed_that_reads_the_first_shard_first() -> int:
    counts = {Chunk(0, 0, 1000): 998, Chunk(1, 0, 1000): 998}
    orders = (next(ReadingOrder(counts, 998, seed).buffers(0, 1)).chunks[0].shard for seed in range(64))
    return next(seed for seed, first in enumerate(orders) if first == 0)


def test_a_reading_that_is_left_leaves_no_thread():
    before = threading.active_count()

    batches = ShuffledReader(_openers(_numbered([3000, 3000])), 64, 0, 6000, buffer_bytes=1).batches()
    next(batches)
    batches.close()

    assert threading.active_count() == before


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
def test_memory_does_not_grow_with_the_set(tmp_path: Path):
    """How much the peak of a process rises that reads 256 MB through a buffer of 4 MB."""
    shard = make_shard(torch.ones(16_384, 256))
    for number in range(16):
        save_shard(shard, tmp_path / f"{number}.safetensors", tmp_path / f"{number}.parquet")

    environment = os.environ | {"PYTHONPATH": str(Path(sae.__file__).parents[1])}
    command = [sys.executable, "-c", _READ_ALL, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)

    assert 0 < float(ran.stdout) < 110


_READ_ALL = """
import sys
from functools import partial
from pathlib import Path
from sae.activations.reader import ShuffledReader, held_out_batches
from sae.activations.shard import open_shard

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024

paths = sorted(Path(sys.argv[1]).glob("*.safetensors"))
openers = [partial(open_shard, path, path.with_suffix(".parquet")) for path in paths]
before = peak()
for _ in ShuffledReader(openers, 512, 0, 16 * 16_384, buffer_bytes=4 * 2**20):
    pass
for _ in held_out_batches(openers, 512):
    pass
print(peak() - before)
"""


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
