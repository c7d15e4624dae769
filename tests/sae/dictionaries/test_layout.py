import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from sae.dictionaries.layout import dictionary_id, load_dictionary, save_dictionary
from sae.errors import AtlasError

FORMS = ("standard", "topk", "jumprelu", "gated")


@given(
    form=st.sampled_from(FORMS),
    d_in=st.integers(1, 5),
    d_sae=st.integers(1, 9),
    seed=st.integers(),
    before=st.booleans(),
)
def test_a_dictionary_comes_back_bit_for_bit(
    make_dictionary, tmp_path_factory: pytest.TempPathFactory, form: str, d_in: int, d_sae: int, seed: int, before: bool
) -> None:
    folder = tmp_path_factory.mktemp("dictionary")
    saved = make_dictionary(form, d_in, d_sae, seed % 2**31, before)

    name = save_dictionary(saved, folder, {"site": "x"}, torch.full((d_sae,), 0.5))
    opened = load_dictionary(folder)

    for part in ("W_enc", "b_enc", "W_dec", "b_dec", "threshold", "r_mag", "b_mag"):
        before_part, after_part = getattr(saved, part), getattr(opened, part)
        if before_part is None:
            assert after_part is None
        else:
            assert after_part is not None
            assert torch.equal(before_part, after_part)
    assert (opened.form, opened.k, opened.apply_b_dec_to_input) == (form, saved.k, before)
    assert dictionary_id(opened) == name == dictionary_id(saved)


def test_the_folder_holds_what_saelens_reads(make_dictionary, tmp_path: Path) -> None:
    dictionary = replace(make_dictionary("topk"), metadata={"model_name": "world", "hook_name": "layers.3"})

    save_dictionary(dictionary, tmp_path, {"seed": 1}, torch.tensor([0.1] * 9 + [0.0]))

    config = json.loads((tmp_path / "cfg.json").read_text())
    assert config["metadata"]["hook_name"] == "layers.3"
    del config["metadata"]
    assert config == {
        "architecture": "topk",
        "k": 3,
        "rescale_acts_by_decoder_norm": False,
        "d_in": 6,
        "d_sae": 10,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
    }
    assert set(load_file(tmp_path / "sae_weights.safetensors")) == {"W_enc", "b_enc", "W_dec", "b_dec"}
    sparsity = load_file(tmp_path / "sparsity.safetensors")["sparsity"]
    torch.testing.assert_close(sparsity, torch.tensor([-1.0] * 9 + [-10.0]))
    assert json.loads((tmp_path / "provenance.json").read_text()) == {"seed": 1}


def test_the_id_tells_weights_and_forms_apart(make_dictionary) -> None:
    dictionary = make_dictionary("topk")

    others = [
        replace(dictionary, k=2),
        replace(dictionary, apply_b_dec_to_input=False),
        replace(dictionary, form="standard", k=None),
        replace(dictionary, b_dec=dictionary.b_dec.nextafter(torch.tensor(9.0))),
    ]

    assert len({dictionary_id(one) for one in [dictionary, *others]}) == 5
    assert dictionary_id(replace(dictionary, metadata={"a": 1})) == dictionary_id(dictionary)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("architecture", "transcoder"),
        ("architecture", None),
        ("normalize_activations", "layer_norm"),
        ("reshape_activations", "hook_z"),
        ("rescale_acts_by_decoder_norm", True),
    ],
)
def test_arithmetic_that_we_do_not_have_is_refused(make_dictionary, tmp_path: Path, key: str, value: object) -> None:
    save_dictionary(make_dictionary("topk"), tmp_path, {}, torch.zeros(10))
    config = json.loads((tmp_path / "cfg.json").read_text()) | {key: value}
    (tmp_path / "cfg.json").write_text(json.dumps(config))

    with pytest.raises(AtlasError, match=key):
        load_dictionary(tmp_path)


@pytest.mark.parametrize("name", ["cfg.json", "sae_weights.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_missing_or_damaged_file_is_named(make_dictionary, tmp_path: Path, name: str, damage: str) -> None:
    save_dictionary(make_dictionary("standard"), tmp_path, {}, torch.zeros(10))
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).unlink() if damage == "missing" else (tmp_path / name).write_bytes(data[: len(data) // 2])

    with pytest.raises(AtlasError, match=name):
        load_dictionary(tmp_path)


@pytest.mark.external
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("before", [True, False])
def test_saelens_gives_the_same_codes_and_reconstructions(
    make_dictionary, tmp_path: Path, form: str, before: bool
) -> None:
    sae_lens = pytest.importorskip("sae_lens")
    dictionary = make_dictionary(form, 12, 40, 5, before)
    save_dictionary(dictionary, tmp_path, {}, torch.full((40,), 0.1))
    x = torch.randn(50, 12, generator=torch.Generator().manual_seed(2))

    theirs = sae_lens.SAE.load_from_disk(str(tmp_path))

    with torch.no_grad():
        codes = theirs.encode(x)
        torch.testing.assert_close(codes, dictionary.encode(x), rtol=0, atol=1e-5)
        torch.testing.assert_close(theirs.decode(codes), dictionary.decode(codes), rtol=0, atol=1e-5)
