"""What a dictionary pins: its model runs where the config says, its shards and documents are read as far as needed."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from hand_made import make_shard
from second_device import on_card, second_device
from tiny_models import tiny_documents, tiny_subject

from orchestration.answers import activations_of
from orchestration.document_files import write_documents
from orchestration.pinned import Pinned
from orchestration.questions import pinned_dictionary
from orchestration.refs import Ref, write_ref
from sae.activations.manifest import ShardRecord, activation_set_to_json, build_activation_set, measure_shard
from sae.activations.shard import save_shard, shard_version
from sae.config import load_workspace
from sae.corpora.documents import Document, documents_table
from sae.dictionaries.dictionary import Dictionary
from sae.dictionaries.layout import save_dictionary
from sae.errors import AtlasError
from sae.models.subject import Subject
from sae.storage import Store

CONFIG = """
store: store
state: state
models: {tiny: {source: unused, device: cpu}}
corpora: {words: {source: world, shards: 2}}
sites: [{model: tiny, hookpoint: layers.1, corpora: [words]}]
dictionaries: {small: {architecture: topk, latents: 20, k: 4, tokens: 1000}}
"""
D_MODEL, PICTURE = 16, b"no picture at all"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "atlas.yaml").write_text(CONFIG)
    monkeypatch.delenv("ATLAS_STORE", raising=False)
    return load_workspace(tmp_path / "atlas.yaml")


@pytest.fixture
def pinned(workspace, tmp_path: Path) -> Pinned:
    """The config's dictionary, accepted, over two shards of which the second one's document holds a picture."""
    store, records, documents = Store(workspace.store), [], {}
    subject = tiny_subject("gpt2", tmp_path)
    model = {
        path.name: store.write_bytes(f"models/{subject.model_id}/{path.name}", path.read_bytes())
        for path in (tmp_path / "model").iterdir()
    }
    pictured = documents_table("words", "words-00001", [Document("a <image>", "en", "image", image=PICTURE)])
    for number, texts in enumerate((tiny_documents(), pictured)):
        shard = make_shard(torch.randn(6, D_MODEL, generator=torch.Generator().manual_seed(number)))
        stem = f"activations/words-0000{number}"
        with store.writing(f"{stem}.safetensors") as tensors, store.writing(f"{stem}.parquet") as tokens:
            save_shard(shard, tensors, tokens)
        files = store.describe(f"{stem}.safetensors"), store.describe(f"{stem}.parquet")
        records.append(ShardRecord(f"words-0000{number}", shard_version(shard), *files, measure_shard(shard)))
        documents[f"words-0000{number}"] = asdict(write_documents(store, "corpora/words", f"{number}", texts))
    rows = torch.nn.functional.normalize(torch.randn(20, D_MODEL, generator=torch.Generator().manual_seed(9)), dim=1)
    dictionary = Dictionary(rows.T.contiguous(), torch.zeros(20), rows, torch.zeros(D_MODEL), "topk", k=4)
    name = save_dictionary(dictionary, tmp_path / "made", {}, torch.zeros(20))
    files = {
        path.name: store.write_bytes(f"dictionaries/{name}/{path.name}", path.read_bytes())
        for path in (tmp_path / "made").iterdir()
    }
    manifest = build_activation_set("tiny.layers.1", "layers.1", "sqrt_d", records)
    facts = {
        "activation_set": json.loads(activation_set_to_json(manifest)),
        "model": {
            "model_id": subject.model_id,
            "name": "tiny",
            "files": sorted(model),
        },
        "documents": documents,
    }
    ref = Ref("dictionary", "tiny.layers.1.small", name, "key", "1", {}, files, facts)
    write_ref(store, ref)
    return pinned_dictionary(workspace, "tiny.layers.1.small")


def test_the_model_runs_where_the_config_says(pinned: Pinned, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # what `auto` would take

    assert pinned.subject().device.type == "cpu"


def test_what_is_active_is_the_same_wherever_the_model_runs(pinned: Pinned, monkeypatch: pytest.MonkeyPatch):
    here: Subject = pinned.subject()
    expected = activations_of(pinned, {}, "The Golden Gate Bridge", top=3)

    with second_device():
        there = on_card(here)
        monkeypatch.setattr(Pinned, "subject", lambda self: there)
        found = activations_of(pinned, {}, "The Golden Gate Bridge", top=3)

    assert found == expected
    assert len(found) > 0


def test_a_shard_is_opened_when_its_turn_comes(pinned: Pinned):
    pinned.store.delete("activations/words-00001.parquet")

    shards = pinned.shards()

    assert len(shards) == 2
    assert len(shards[0].tokens) == 6
    with pytest.raises(AtlasError, match="words-00001"):
        _ = shards[1]


def test_the_place_of_a_picture_is_known_without_reading_it(pinned: Pinned):
    (document,) = pinned.documents()["document_id"].to_list()[-1:]
    (path,) = (path for path in pinned.documents()["image_path"] if path)
    pinned.store.delete(path)

    assert pinned.image_paths() == {document: path}
