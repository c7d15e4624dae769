import copy
import dataclasses
import errno
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tiny_models import SENTENCES, tiny_documents
from tiny_vision_models import VISION_FAMILIES, tiny_picture_documents, tiny_vision_subject

from sae.activations.harvest import harvest, mapped_rows
from sae.activations.manifest import measure_shard
from sae.activations.shard import TOKENS, open_shard, save_shard, shard_version
from sae.corpora.documents import Document, documents_table
from sae.errors import AtlasError
from sae.models.hookpoints import hookpoint_width, read_outputs
from sae.models.inputs import cut_windows, encode_documents
from sae.models.pictures import encode_picture
from sae.models.subject import Subject, collate
from sae.world.documents import world_documents


def _with_embedding(subject: Subject, token_id: int, factor: float) -> Subject:
    """The same model with one token's embedding multiplied."""
    module: Any = copy.deepcopy(subject.module)
    module.get_input_embeddings().weight.data[token_id] *= factor
    return dataclasses.replace(subject, module=module)


@pytest.mark.parametrize("name", ["llama", "bert"])
@pytest.mark.parametrize("batch_tokens", [32, 4096])
def test_rows_are_what_a_plain_forward_pass_computes(name: str, batch_tokens: int, request: pytest.FixtureRequest):
    subject: Subject = request.getfixturevalue(name)
    documents = tiny_documents()

    shards = harvest(subject, ["layers.0", "layers.1"], documents, batch_tokens=batch_tokens)

    expected = []
    for _, encoded in encode_documents(subject, documents):
        module: Any = subject.module
        expected.append(module(**collate(subject, [encoded]), output_hidden_states=True).hidden_states)
    for layer, hookpoint in enumerate(["layers.0", "layers.1"], 1):
        plain = torch.cat([states[layer][0] for states in expected])
        torch.testing.assert_close(shards[hookpoint].values, plain, atol=1e-5, rtol=1e-4)


def test_the_table_stands_row_for_row(llama: Subject):
    documents = tiny_documents()

    tokens = harvest(llama, ["layers.0"], documents, batch_tokens=64)["layers.0"].tokens

    assert tokens.schema == TOKENS
    for document_id, text, modality in documents.select("document_id", "text", "modality").iter_rows():
        rows = tokens.filter(pl.col("document_id") == document_id)
        encoded = llama.codec.encode(text)
        assert rows["token_id"].to_list() == encoded.token_ids.tolist()
        assert rows["token"].to_list() == encoded.tokens
        assert rows["position"].to_list() == list(range(len(encoded)))
        assert rows["special"].to_list() == encoded.special.tolist()
        assert rows.select("start", "end").rows() == [tuple(span) for span in encoded.spans.tolist()]
        assert set(rows["modality"]) == {modality}
    assert tokens["document_id"].unique(maintain_order=True).to_list() == documents["document_id"].to_list()


@pytest.mark.parametrize("name", ["llama", "bert"])
def test_a_document_longer_than_the_context_is_read_in_windows(name: str, request: pytest.FixtureRequest):
    subject: Subject = request.getfixturevalue(name)
    documents = tiny_documents([" ".join(SENTENCES[:1] * 9), "Der Name"])

    shard = harvest(subject, ["layers.1"], documents, batch_tokens=4096)["layers.1"]

    long = subject.codec.encode(documents["text"][0])
    assert len(long) > 2 * subject.codec.context_size
    assert shard.tokens["position"].to_list()[: len(long)] == list(range(len(long)))
    assert int(shard.tokens["special"][: len(long)].sum()) == int(long.special.sum())
    for window in cut_windows(long, subject.codec.context_size):
        plain = read_outputs(subject, collate(subject, [window.encoded]), ["layers.1"])["layers.1"][0]
        kept = ~window.repeated
        rows = shard.values[torch.from_numpy(window.positions[kept]).long()]
        torch.testing.assert_close(rows, plain[torch.from_numpy(kept)], atol=1e-5, rtol=1e-4)


def test_batches_stay_within_their_size_and_progress_reaches_the_end(llama: Subject):
    sizes: list[int] = []
    handle = llama.module.get_submodule("model.layers.0").register_forward_hook(
        lambda _module, _inputs, output: sizes.append(output.shape[0] * output.shape[1])
    )
    seen: list[tuple[int, int]] = []
    try:
        shard = harvest(
            llama, ["layers.0"], tiny_documents(), batch_tokens=40, on_batch=lambda *counts: seen.append(counts)
        )["layers.0"]
    finally:
        handle.remove()

    assert max(sizes) <= 40
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (len(shard.tokens), len(shard.tokens))


def test_the_demo_world_is_read_with_its_pictures(world: Subject):
    documents = world_documents(0, 0, 60)

    shard = harvest(world, ["layers.3"], documents, batch_tokens=256)["layers.3"]

    patches = shard.tokens.filter(pl.col("modality") == "image").group_by("document_id").len()
    assert set(patches["len"]) == {4}
    assert set(patches["document_id"]) == set(documents.filter(pl.col("image").is_not_null())["document_id"])
    rows = documents.head(1)
    alone = harvest(world, ["layers.3"], rows, batch_tokens=256)["layers.3"]
    torch.testing.assert_close(shard.values[: len(alone.values)], alone.values, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("family", VISION_FAMILIES)
@pytest.mark.parametrize("batch_tokens", [16, 4096])
def test_a_vision_model_is_read_with_pictures_and_without(family: str, batch_tokens: int, tmp_path: Path):
    subject = tiny_vision_subject(family, tmp_path)
    documents = tiny_picture_documents()

    shard = harvest(subject, ["layers.1", "layers.1.mlp"], documents, batch_tokens=batch_tokens)["layers.1"]

    encoded = [one for _, one in encode_documents(subject, documents)]
    cuts = [cut_windows(one, min(batch_tokens, subject.codec.context_size)) for one in encoded]
    assert shard.tokens["modality"].to_list() == [modality for one in encoded for modality in one.modalities]
    first = 0
    for one, windows in zip(encoded, cuts, strict=True):
        for window in windows:
            plain = read_outputs(subject, collate(subject, [window.encoded]), ["layers.1"])["layers.1"][0]
            kept = ~window.repeated
            rows = shard.values[first + torch.from_numpy(window.positions[kept]).long()]
            torch.testing.assert_close(rows, plain[torch.from_numpy(kept)], atol=1e-5, rtol=1e-4)
        first += len(one)
    patches = shard.tokens.filter(pl.col("modality") == "image")
    assert not patches["special"].any()
    assert set(patches["document_id"]) == set(documents.filter(pl.col("image").is_not_null())["document_id"])


def test_pictures_are_left_out_for_a_model_that_sees_none(llama: Subject):
    picture = encode_picture(np.zeros((2, 2, 3), np.uint8))
    documents = documents_table("c", "c-00000", [Document("<image>", image=picture), Document("The bridge")])

    tokens = harvest(llama, ["layers.0"], documents, batch_tokens=64)["layers.0"].tokens

    assert set(tokens["document_id"]) == {documents["document_id"][1]}


def test_massive_activations_are_marked(llama: Subject):
    huge = llama.codec.encode("Kobe").token_ids[1]
    subject = _with_embedding(llama, huge, 1000.0)

    shard = harvest(subject, ["layers.0"], tiny_documents(), batch_tokens=64, massive_norm_ratio=10)["layers.0"]

    assert shard.tokens["massive"].to_list() == (shard.tokens["token_id"] == huge).to_list()
    ordinary = shard.values[~torch.from_numpy(shard.tokens["special"].to_numpy().copy())]
    assert shard.massive_norm == pytest.approx(10 * float(ordinary.norm(dim=1).median()))
    assert int(shard.trainable.sum()) == len(shard.tokens) - 1 - len(SENTENCES)


@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_is_named(llama: Subject, factor: float):
    encoded = llama.codec.encode(SENTENCES[3])
    subject = _with_embedding(llama, encoded.token_ids[1], factor)
    documents = tiny_documents()

    with pytest.raises(AtlasError, match=rf"not finite at position 1 of document {documents['document_id'][3]}"):
        harvest(subject, ["model.embed_tokens"], documents, batch_tokens=64)


def test_an_overflow_of_the_stored_format_is_named(llama: Subject):
    subject = _with_embedding(llama, llama.codec.encode("Kobe").token_ids[1], 1e9)

    with pytest.raises(AtlasError, match="store_dtype float32 or bfloat16"):
        harvest(subject, ["layers.0"], tiny_documents(), batch_tokens=64, dtype=torch.float16)


def test_the_largest_value_of_half_precision_is_kept_and_one_beyond_it_is_refused(llama: Subject):
    exact = harvest(llama, ["model.embed_tokens"], tiny_documents(), batch_tokens=64)["model.embed_tokens"].values
    # Powers of two keep every bit: the largest value becomes one that half precision holds, then one that it does not.
    inside = 2.0 ** int(np.floor(np.log2(30_000 / float(exact.abs().max()))))
    for factor, fits in ((inside, True), (8 * inside, False)):
        module: Any = copy.deepcopy(llama.module)
        module.get_input_embeddings().weight.data *= factor
        subject = dataclasses.replace(llama, module=module)
        if fits:
            stored = harvest(subject, ["model.embed_tokens"], tiny_documents(), batch_tokens=64, dtype=torch.float16)
            assert bool(stored["model.embed_tokens"].values.isfinite().all())
            continue
        with pytest.raises(AtlasError, match="store_dtype float32 or bfloat16"):
            harvest(subject, ["model.embed_tokens"], tiny_documents(), batch_tokens=64, dtype=torch.float16)


def test_stored_formats_round_the_same_rows(llama: Subject):
    exact = harvest(llama, ["layers.0"], tiny_documents(), batch_tokens=64)["layers.0"].values
    half = harvest(llama, ["layers.0"], tiny_documents(), batch_tokens=64, dtype=torch.bfloat16)["layers.0"].values

    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half, exact.bfloat16())


def test_harvested_vectors_lie_in_a_file_that_leaves_nothing_behind(
    llama: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    first = harvest(llama, ["layers.0"], tiny_documents(), batch_tokens=64)["layers.0"].values
    rows = mapped_rows(3, 2, torch.bfloat16)
    rows[:] = 1.5

    assert rows.tolist() == [[1.5, 1.5]] * 3
    assert first.isfinite().all()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_is_told_before_the_first_pass_ends(llama: Subject, monkeypatch: pytest.MonkeyPatch):
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)

    with pytest.raises(OSError, match="No space left"):
        harvest(llama, ["layers.0"], tiny_documents(), batch_tokens=64)


def test_documents_without_a_token_make_shards_without_a_row(llama: Subject, tmp_path: Path):
    shards = harvest(llama, ["layers.0", "layers.1"], tiny_documents().head(0), batch_tokens=64, dtype=torch.bfloat16)

    for shard in shards.values():
        save_shard(shard, tmp_path / "tensors", tmp_path / "tokens")
        read = open_shard(tmp_path / "tensors", tmp_path / "tokens")
        assert read.tokens.schema == TOKENS
        assert read.values.shape == (0, hookpoint_width(llama, "layers.0"))
        assert read.values.dtype == torch.bfloat16
        assert measure_shard(read).n_tokens == 0
        assert measure_shard(read).massive_norm is None
        assert shard_version(read) == shard_version(shard)


def test_an_unknown_hookpoint_is_refused(llama: Subject):
    with pytest.raises(AtlasError, match=r"no hookpoint 'layers\.9'"):
        harvest(llama, ["layers.9"], tiny_documents(), batch_tokens=64)


def test_a_corrupt_picture_is_named(world: Subject):
    documents = documents_table("c", "c-00000", [Document("<image>", image=b"\x89PNG broken")])

    with pytest.raises(AtlasError, match=documents["document_id"][0]):
        harvest(world, ["layers.3"], documents, batch_tokens=64)
