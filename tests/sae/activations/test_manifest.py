import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from hand_made import make_shard
from torch import Tensor

from sae.activations.manifest import (
    ActivationSet,
    Normalisation,
    ShardRecord,
    activation_set_from_json,
    activation_set_to_json,
    build_activation_set,
    measure_shard,
    record_from_dict,
)
from sae.activations.shard import ActivationShard, save_shard, shard_version
from sae.activations.source import StoredActivations
from sae.errors import AtlasError
from sae.storage import Store


def _stored(store: Store, name: str, shard: ActivationShard) -> ShardRecord:
    with store.writing(f"a/{name}.safetensors") as tensors, store.writing(f"a/{name}.parquet") as tokens:
        save_shard(shard, tensors, tokens)
    files = store.describe(f"a/{name}.safetensors"), store.describe(f"a/{name}.parquet")
    return ShardRecord(name, shard_version(shard), *files, measure_shard(shard))


def _values(seed: int, n: int = 20, d: int = 4) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) * 3 + 1


def _set(
    store: Store, names: list[str], normalisation: Normalisation = "sqrt_d"
) -> tuple[ActivationSet, dict[str, Tensor]]:
    values = {name: _values(seed) for seed, name in enumerate(names)}
    records = [_stored(store, name, make_shard(v, [0], [5])) for name, v in values.items()]
    return build_activation_set("m.layers.0", "layers.0", normalisation, records), values


def test_the_last_eighth_of_each_corpus_is_held_out(tmp_path: Path):
    names = [f"a-{n:05d}" for n in range(3)] + [f"b-c-{n:05d}" for n in range(16)]

    made, _ = _set(Store(str(tmp_path)), names[::-1])

    assert [entry.shard for entry in made.shards] == sorted(names)
    assert [record.shard for record in made.split("held_out")] == ["a-00002", "b-c-00014", "b-c-00015"]
    assert len(made.split("train")) == 16


@pytest.mark.parametrize("normalisation", ["sqrt_d", "mean_square"])
def test_normalisation_comes_from_trainable_train_rows(normalisation: Normalisation, tmp_path: Path):
    made, values = _set(Store(str(tmp_path)), ["a-00000", "a-00001", "a-00002"], normalisation)
    kept = [n for n in range(20) if n not in (0, 5)]
    rows = torch.cat([values["a-00000"][kept], values["a-00001"][kept]]).double()

    scaled = (rows * made.scale).norm(dim=1)

    assert made.mean == pytest.approx(rows.mean(dim=0).tolist())
    assert made.d_model == 4
    measure = scaled.mean() if normalisation == "sqrt_d" else (scaled**2).mean().sqrt()
    assert float(measure) == pytest.approx(math.sqrt(4))
    assert made.count("n_tokens") == 60
    assert made.count("n_special") == made.count("n_massive") == 3
    assert made.count("n_trainable") == 54


def test_a_manifest_comes_back_from_json(tmp_path: Path):
    made, _ = _set(Store(str(tmp_path)), ["a-00000", "a-00001"])

    read = activation_set_from_json(activation_set_to_json(made))

    assert read == made
    assert read.id == made.id
    assert record_from_dict(asdict(made.shards[0].record)) == made.shards[0].record
    with pytest.raises(AtlasError, match="manifest is damaged"):
        activation_set_from_json(activation_set_to_json(made)[:-3])
    with pytest.raises(AtlasError, match="manifest is damaged"):
        activation_set_from_json("[]")


def test_the_limit_of_massive_norms_is_the_train_shards_median(tmp_path: Path):
    made, _ = _set(Store(str(tmp_path)), [f"a-{n:05d}" for n in range(4)])
    assert made.massive_norm == math.inf

    limits = {"a-00000": 10.0, "a-00001": 30.0, "a-00002": 20.0, "a-00003": 99.0}
    records = [
        replace(e.record, statistics=replace(e.record.statistics, massive_norm=limits[e.shard])) for e in made.shards
    ]
    assert build_activation_set("s", "h", "sqrt_d", records).massive_norm == 20.0


def test_empty_shards_take_part_in_nothing(tmp_path: Path):
    store = Store(str(tmp_path))
    names = ["a-00000", "a-00001", "a-00002"]
    without, _ = _set(store, names)
    empty = [_stored(store, name, make_shard(torch.empty(0, 4))) for name in ("a-00003", "a-00004")]
    limited = [replace(e.record, statistics=replace(e.record.statistics, massive_norm=9.0)) for e in without.shards]

    made = build_activation_set("m.layers.0", "layers.0", "sqrt_d", [*limited, *empty])

    assert [record.shard for record in made.split("held_out")] == ["a-00002"]
    assert (made.scale, made.mean, made.massive_norm) == (without.scale, without.mean, 9.0)
    assert len(made.shards) == 5


def test_a_corpus_without_a_token_is_refused_in_words(tmp_path: Path):
    store = Store(str(tmp_path))
    made, _ = _set(store, ["a-00000", "a-00001"])
    empty = _stored(store, "b-00000", make_shard(torch.empty(0, 4)))

    with pytest.raises(AtlasError, match="The corpus b has no token that is read at s"):
        build_activation_set("s", "h", "sqrt_d", [*(entry.record for entry in made.shards), empty])


def test_one_shard_leaves_nothing_to_train_on(tmp_path: Path):
    store = Store(str(tmp_path))
    with pytest.raises(AtlasError, match="two shards or more"):
        _set(store, ["a-00000"])
    with pytest.raises(AtlasError, match="two shards or more"):
        build_activation_set("s", "h", "sqrt_d", [])


def test_a_damaged_shard_is_found_by_its_hash(tmp_path: Path):
    store = Store(str(tmp_path))
    record = _stored(store, "a-00000", make_shard(_values(0)))
    assert torch.equal(StoredActivations(store).open(record).values, _values(0))
    assert record.tensors is not None

    path = store.local(record.tensors.path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))

    with pytest.raises(AtlasError, match=r"a-00000\.safetensors is damaged"):
        StoredActivations(store).open(record)


def test_measuring_refuses_a_nan():
    values = _values(0)
    values[7, 2] = math.nan
    with pytest.raises(AtlasError, match="not finite"):
        measure_shard(make_shard(values))
