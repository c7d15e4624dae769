import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sae.dictionaries.formats.exchange import read_dictionary, write_dictionary
from sae.errors import AtlasError


def test_the_folder_holds_what_sparsify_reads(make_dictionary, tmp_path: Path) -> None:
    dictionary = make_dictionary("topk")

    write_dictionary("sparsify", dictionary, tmp_path / "layers.3")

    config = json.loads((tmp_path / "layers.3" / "cfg.json").read_text())
    tensors = load_file(tmp_path / "layers.3" / "sae.safetensors")
    assert (config["d_in"], config["num_latents"], config["k"], config["activation"]) == (6, 10, 3, "topk")
    assert (config["normalize_decoder"], config["transcode"], config["skip_connection"]) == (True, False, False)
    assert {name: tuple(part.shape) for name, part in tensors.items()} == {
        "encoder.weight": (10, 6),
        "encoder.bias": (10,),
        "W_dec": (10, 6),
        "b_dec": (6,),
    }
    assert torch.equal(tensors["encoder.weight"], dictionary.W_enc.T)


def test_a_config_that_counts_latents_by_expansion_is_read(make_dictionary, same_use, tmp_path: Path) -> None:
    dictionary = make_dictionary("topk", 5, 10)
    write_dictionary("sparsify", dictionary, tmp_path / "out")
    old = {"expansion_factor": 2, "normalize_decoder": True, "num_latents": 0, "k": 3, "signed": False, "d_in": 5}
    (tmp_path / "out" / "cfg.json").write_text(json.dumps(old))

    found = read_dictionary("sparsify", tmp_path / "out")

    same_use(found.dictionary, dictionary)
    assert found.config == old


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"transcode": True}, "transcoder"),
        ({"skip_connection": True}, "W_skip"),
        ({"activation": "groupmax"}, "groupmax"),
        ({"signed": True}, "never negative"),
        ({"num_latents": 11}, "d_sae is 11"),
        ({"d_in": 7}, "d_in is 7"),
        ({"k": 0}, "k is 0"),
        ({"k": 11}, "wants k between 1 and 10"),
    ],
)
def test_arithmetic_that_a_dictionary_does_not_have_is_refused(
    make_dictionary, tmp_path: Path, changes: dict, words: str
) -> None:
    write_dictionary("sparsify", make_dictionary("topk"), tmp_path / "out")
    config = tmp_path / "out" / "cfg.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))

    with pytest.raises(AtlasError, match=words):
        read_dictionary("sparsify", tmp_path / "out")


def test_a_skip_connection_is_seen_in_the_weights(make_dictionary, tmp_path: Path) -> None:
    write_dictionary("sparsify", make_dictionary("topk"), tmp_path / "out")
    weights = tmp_path / "out" / "sae.safetensors"
    save_file({**load_file(weights), "W_skip": torch.zeros(6, 6)}, weights)

    with pytest.raises(AtlasError, match="W_skip"):
        read_dictionary("sparsify", tmp_path / "out")


@pytest.mark.external
def test_a_folder_that_sparsify_saved_gives_its_activations(activations, tmp_path: Path) -> None:
    sparsify = pytest.importorskip("sparsify")
    theirs = sparsify.SparseCoder(8, sparsify.SparseCoderConfig(expansion_factor=4, k=5))
    with torch.no_grad():
        theirs.encoder.bias.copy_(torch.linspace(-0.2, 0.2, 32))
        theirs.b_dec.copy_(torch.linspace(-1, 1, 8))
    theirs.save_to_disk(tmp_path / "layers.3")
    x = activations(8)

    ours = read_dictionary("sparsify", tmp_path / "layers.3").dictionary

    with torch.no_grad():
        found = theirs.encode(x)
        codes = torch.zeros(len(x), 32).scatter(1, found.top_indices, found.top_acts)
        torch.testing.assert_close(ours.encode(x), codes, rtol=0, atol=1e-5)
        reconstruction = theirs.decode(found.top_acts, found.top_indices)
        torch.testing.assert_close(ours.decode(ours.encode(x)), reconstruction, rtol=0, atol=1e-5)


@pytest.mark.external
@pytest.mark.parametrize("before", [True, False])
def test_sparsify_opens_what_is_exported(make_dictionary, activations, tmp_path: Path, before: bool) -> None:
    sparsify = pytest.importorskip("sparsify")
    dictionary = make_dictionary("topk", 8, 20, 1, before)
    write_dictionary("sparsify", dictionary, tmp_path / "out")
    x = activations(8)

    theirs = sparsify.SparseCoder.load_from_disk(tmp_path / "out")

    with torch.no_grad():
        found = theirs.encode(x)
        codes = torch.zeros(len(x), 20).scatter(1, found.top_indices, found.top_acts)
    torch.testing.assert_close(codes, dictionary.encode(x), rtol=0, atol=1e-5)
