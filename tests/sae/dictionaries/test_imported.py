import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import torch

from sae.activations.harvest import harvest
from sae.activations.manifest import ActivationSet, ShardRecord, build_activation_set, measure_shard
from sae.activations.shard import save_shard, shard_version
from sae.activations.source import StoredActivations
from sae.config import ImportConfig, NeuronsConfig
from sae.dictionaries.formats.exchange import write_dictionary
from sae.dictionaries.formats.files import files_id, source_files
from sae.dictionaries.imported import import_dictionary
from sae.dictionaries.layout import load_dictionary
from sae.errors import AtlasError
from sae.models.subject import Subject
from sae.storage import Store

RECIPE = ImportConfig(architecture="imported", format="sparsify", source="theirs", sites=("five-words.layers.1",))
DOCUMENTS = pl.DataFrame(
    {
        "document_id": [str(i) for i in range(20)],
        "text": [" ".join(str(1 + (i * j + j) % 3) for j in range(6)) for i in range(20)],
        "modality": "text",
        "language": "en",
        "image": pl.Series([None] * 20, dtype=pl.Binary),
    }
)


@pytest.fixture
def site(five_words: Subject, tmp_path: Path) -> tuple[ActivationSet, StoredActivations]:
    store, records = Store(str(tmp_path / "store")), []
    for number in range(2):
        shard = harvest(five_words, ["layers.1"], DOCUMENTS[10 * number : 10 * number + 10], batch_tokens=64)[
            "layers.1"
        ]
        stem = f"activations/words-0000{number}"
        with store.writing(f"{stem}.safetensors") as tensors, store.writing(f"{stem}.parquet") as tokens:
            save_shard(shard, tensors, tokens)
        files = store.describe(f"{stem}.safetensors"), store.describe(f"{stem}.parquet")
        records.append(ShardRecord(f"words-0000{number}", shard_version(shard), *files, measure_shard(shard)))
    return build_activation_set("five-words.layers.1", "layers.1", "sqrt_d", records), StoredActivations(store)


def test_what_somebody_else_trained_is_measured_and_described(
    site, five_words: Subject, make_dictionary, tmp_path: Path
) -> None:
    activation_set, source = site
    theirs = make_dictionary("topk", 6, 10)
    write_dictionary("sparsify", theirs, tmp_path / "theirs")

    built = import_dictionary(
        RECIPE, tmp_path, activation_set, source, five_words, DOCUMENTS[10:], tmp_path / "made", {"recipe": "theirs"}
    )

    opened = load_dictionary(tmp_path / "made")
    assert torch.equal(opened.W_enc, theirs.W_enc)
    assert opened.metadata["hook_name"] == "layers.1"
    assert built.facts["architecture"] == "imported"
    assert (built.facts["d_in"], built.facts["d_sae"], built.facts["k"]) == (6, 10, 3)
    assert built.facts["tokens_trained"] is None
    assert built.quality["fvu"] is not None
    assert built.quality["loss_recovered"] is not None
    provenance = json.loads((tmp_path / "made" / "provenance.json").read_text())
    assert provenance["recipe"] == "theirs"
    assert provenance["imported"]["name"] == "theirs"
    assert provenance["imported"]["config"]["num_latents"] == 10
    assert set(provenance["imported"]["files"]) == set(source_files("sparsify", tmp_path / "theirs"))


def test_the_id_is_of_the_weights_the_files_and_the_site(
    site, five_words: Subject, make_dictionary, tmp_path: Path
) -> None:
    activation_set, source = site
    write_dictionary("sparsify", make_dictionary("topk", 6, 10), tmp_path / "theirs")

    def imported(folder: str, activations: ActivationSet) -> str:
        target = tmp_path / folder
        return import_dictionary(
            RECIPE, tmp_path, activations, source, five_words, DOCUMENTS[10:], target, {}
        ).dictionary_id

    first = imported("one", activation_set)

    assert imported("two", activation_set) == first
    assert imported("three", replace(activation_set, site="five-words.layers.0")) != first
    config = tmp_path / "theirs" / "cfg.json"
    before = files_id(source_files("sparsify", tmp_path / "theirs"))
    config.write_text(config.read_text() + "\n")
    assert files_id(source_files("sparsify", tmp_path / "theirs")) != before
    assert imported("four", activation_set) != first


def test_another_width_is_refused_with_both(site, five_words: Subject, make_dictionary, tmp_path: Path) -> None:
    activation_set, source = site
    write_dictionary("sparsify", make_dictionary("topk", 7, 10), tmp_path / "theirs")

    with pytest.raises(AtlasError, match=r"7 dimensions, but five-words\.layers\.1 has 6"):
        import_dictionary(RECIPE, tmp_path, activation_set, source, five_words, DOCUMENTS[10:], tmp_path / "made", {})


def test_neurons_are_a_dictionary_of_one_latent_a_dimension(site, five_words: Subject, tmp_path: Path) -> None:
    activation_set, source = site
    recipe = NeuronsConfig(architecture="neurons", sites=("five-words.layers.1",))

    built = import_dictionary(
        recipe, tmp_path, activation_set, source, five_words, DOCUMENTS[10:], tmp_path / "made", {}
    )

    opened = load_dictionary(tmp_path / "made")
    x = torch.tensor([[1.0, -2.0, 0.0, 3.0, -0.5, 0.25]])
    assert opened.encode(x).tolist() == [[1.0, 0.0, 0.0, 3.0, 0.0, 0.25]]
    assert torch.equal(opened.decode(opened.encode(x)), x.relu())
    assert (built.facts["architecture"], built.facts["d_sae"], built.facts["tokens_trained"]) == ("neurons", 6, None)
    assert "imported" not in built.facts
    elsewhere = replace(activation_set, site="five-words.layers.2")
    again = import_dictionary(recipe, tmp_path, elsewhere, source, five_words, DOCUMENTS[10:], tmp_path / "other", {})
    assert again.dictionary_id != built.dictionary_id
