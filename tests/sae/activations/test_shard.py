from pathlib import Path

import pytest
import torch
from hand_made import make_shard
from hypothesis import given
from hypothesis import strategies as st

from sae.activations.shard import ActivationShard, massive_limit, open_shard, save_shard, shard_version
from sae.errors import AtlasError


def _saved(folder: Path, shard: ActivationShard) -> tuple[Path, Path]:
    paths = folder / "s.safetensors", folder / "s.parquet"
    save_shard(shard, *paths)
    return paths


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_shard_comes_back_bit_for_bit(dtype: torch.dtype, tmp_path: Path):
    made = make_shard(torch.randn(7, 3, generator=torch.Generator().manual_seed(0)).to(dtype), [0], [3])
    shard = ActivationShard(made.tokens, made.values, 12.5)

    read = open_shard(*_saved(tmp_path, shard))

    assert read.tokens.equals(shard.tokens)
    assert torch.equal(read.values, shard.values)
    assert read.massive_norm == 12.5
    assert shard_version(read) == shard_version(shard)
    assert read.trainable.tolist() == [False, True, True, False, True, True, True]


def test_versions_follow_vectors_table_and_limit():
    values = torch.ones(3, 2)
    made = make_shard(values)
    versions = {
        shard_version(shard)
        for shard in (
            made,
            make_shard(values, special=[1]),
            make_shard(torch.zeros(3, 2)),
            ActivationShard(made.tokens, values, 3.0),
        )
    }

    assert len(versions) == 4


def test_a_truncated_file_is_refused(tmp_path: Path):
    tensors, tokens = _saved(tmp_path, make_shard(torch.ones(9, 4)))
    whole = tensors.read_bytes()

    tensors.write_bytes(whole[:-5])
    with pytest.raises(AtlasError, match="damaged"):
        open_shard(tensors, tokens)
    tensors.write_bytes(whole)
    tokens.write_bytes(tokens.read_bytes()[:-9])
    with pytest.raises(AtlasError, match="damaged"):
        open_shard(tensors, tokens)


def test_files_of_two_shards_do_not_fit(tmp_path: Path):
    (tmp_path / "other").mkdir()
    tensors, _ = _saved(tmp_path, make_shard(torch.ones(9, 4)))
    _, tokens = _saved(tmp_path / "other", make_shard(torch.ones(8, 4)))

    with pytest.raises(AtlasError, match="8 tokens stand beside activations of shape"):
        open_shard(tensors, tokens)


@given(st.lists(st.floats(0.5, 1.5), min_size=3, max_size=30), st.floats(2, 20))
def test_massive_is_measured_against_ordinary_positions(norms: list[float], ratio: float):
    values = torch.tensor([1e6, *norms])
    special = torch.arange(len(values)) == 0

    limit = massive_limit(values, special, ratio)

    assert limit == pytest.approx(ratio * float(torch.tensor(norms).median()))
    assert values[0] > limit


def test_blocks_walk_all_rows_once():
    shard = make_shard(torch.arange(22.0).reshape(11, 2).bfloat16())

    blocks = list(shard.blocks(4))

    assert [start for start, _ in blocks] == [0, 4, 8]
    assert torch.equal(torch.cat([block for _, block in blocks]), shard.values.float())
