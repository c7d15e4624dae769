import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sae.dictionaries.dictionary import Dictionary, fold_scale
from sae.dictionaries.formats.exchange import read_dictionary, write_dictionary
from sae.errors import AtlasError

OLD = {
    "hook_point": "blocks.3.hook_resid_post",
    "hook_point_layer": 3,
    "hook_point_head_index": None,
    "model_name": "gpt2-small",
    "d_in": 6,
    "d_sae": 10,
    "dtype": "torch.float32",
    "device": "cpu",
    "context_size": 128,
}
"""A config as SAELens wrote it before it had versions."""


def write(folder: Path, dictionary: Dictionary, changes: dict[str, Any], tensors: dict | None = None) -> Path:
    """A SAELens folder with parts of its config and weights replaced."""
    write_dictionary("saelens", dictionary, folder)
    config = json.loads((folder / "cfg.json").read_text()) | changes
    (folder / "cfg.json").write_text(json.dumps(config))
    weights = folder / "sae_weights.safetensors"
    save_file({**load_file(weights), **(tensors or {})}, weights)
    return folder


def test_a_config_of_before_version_six_is_read(make_dictionary, same_use, tmp_path: Path) -> None:
    dictionary = make_dictionary("standard")
    write_dictionary("saelens", dictionary, tmp_path / "sae")
    (tmp_path / "sae" / "cfg.json").write_text(json.dumps(OLD))

    found = read_dictionary("saelens", tmp_path / "sae")

    same_use(found.dictionary, dictionary)
    assert found.dictionary.metadata["hook_name"] == "blocks.3.hook_resid_post"
    assert found.dictionary.metadata["model_name"] == "gpt2-small"
    assert found.config == OLD


def test_topk_was_an_activation_before_version_six(make_dictionary, same_use, tmp_path: Path) -> None:
    dictionary = make_dictionary("topk")
    write_dictionary("saelens", dictionary, tmp_path / "sae")
    old = {**OLD, "architecture": "standard", "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 3}}
    (tmp_path / "sae" / "cfg.json").write_text(json.dumps(old))

    same_use(read_dictionary("saelens", tmp_path / "sae").dictionary, dictionary)


def test_the_average_norm_of_a_checkpoint_is_folded_in(make_dictionary, activations, tmp_path: Path) -> None:
    trained = make_dictionary("jumprelu")
    folder = write(tmp_path / "sae", trained, {"normalize_activations": "expected_average_only_in"})
    (folder / "activation_scaler.json").write_text('{"scaling_factor": 0.25}')
    x = activations(6)

    found = read_dictionary("saelens", folder).dictionary

    torch.testing.assert_close(found.encode(x), trained.encode(x / 4), rtol=0, atol=1e-5)
    torch.testing.assert_close(
        found.decode(found.encode(x)), trained.decode(trained.encode(x / 4)) * 4, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("form", ["standard", "gated"])
@pytest.mark.parametrize("before", [True, False])
def test_the_whitening_of_a_checkpoint_is_folded_in(
    make_dictionary, activations, tmp_path: Path, form: str, before: bool
) -> None:
    trained = make_dictionary(form, apply_b_dec_to_input=before)
    folder = write(tmp_path / "sae", trained, {"normalize_activations": "covariance_whitening"})
    matrix = torch.eye(6) + 0.2 * torch.randn(6, 6, generator=torch.Generator().manual_seed(5))
    whitening = {"mean": torch.linspace(-1, 1, 6), "matrix": matrix, "inverse_matrix": matrix.inverse().contiguous()}
    save_file(whitening, folder / "activation_whitening.safetensors")
    x = activations(6)
    white = (x - whitening["mean"]) @ matrix

    found = read_dictionary("saelens", folder).dictionary

    torch.testing.assert_close(found.encode(x), trained.encode(white), rtol=1e-5, atol=1e-5)
    back = trained.decode(trained.encode(white)) @ whitening["inverse_matrix"] + whitening["mean"]
    torch.testing.assert_close(found.decode(found.encode(x)), back, rtol=1e-5, atol=1e-5)


def test_a_whitening_of_another_width_is_refused(make_dictionary, tmp_path: Path) -> None:
    folder = write(tmp_path / "sae", make_dictionary("topk"), {"normalize_activations": "covariance_whitening"})
    whitening = {"mean": torch.zeros(5), "matrix": torch.eye(5), "inverse_matrix": 2 * torch.eye(5)}
    save_file(whitening, folder / "activation_whitening.safetensors")

    with pytest.raises(AtlasError, match="6 dimensions"):
        read_dictionary("saelens", folder)


@pytest.mark.parametrize("value", ["expected_average_only_in", True])
def test_an_average_norm_without_its_factor_is_refused(make_dictionary, tmp_path: Path, value: object) -> None:
    folder = write(tmp_path / "sae", make_dictionary("topk"), {"normalize_activations": value})

    with pytest.raises(AtlasError, match="factor is not there"):
        read_dictionary("saelens", folder)


@pytest.mark.parametrize("name", ["scaling_factor", "finetuning_scaling_factor"])
def test_the_fine_tuning_factor_moves_into_the_decoder(make_dictionary, same_use, tmp_path: Path, name: str) -> None:
    dictionary = make_dictionary("gated")
    factor = torch.linspace(0.5, 2, 10)
    folder = write(tmp_path / "sae", dictionary, {"finetuning_scaling_factor": True}, {name: factor})

    found = read_dictionary("saelens", folder).dictionary

    same_use(found, replace(dictionary, W_dec=dictionary.W_dec * factor[:, None]))


def test_a_fine_tuning_factor_of_one_changes_nothing(make_dictionary, same_use, tmp_path: Path) -> None:
    dictionary = make_dictionary("jumprelu")
    folder = write(tmp_path / "sae", dictionary, {}, {"scaling_factor": torch.ones(10)})

    same_use(read_dictionary("saelens", folder).dictionary, dictionary)


def test_a_topk_choice_by_decoder_norms_is_folded_in(make_dictionary, same_use, tmp_path: Path) -> None:
    dictionary = make_dictionary("topk")
    longer = replace(dictionary, W_dec=dictionary.W_dec * torch.linspace(0.2, 3, 10)[:, None])
    folder = write(tmp_path / "sae", longer, {"rescale_acts_by_decoder_norm": True})

    same_use(read_dictionary("saelens", folder).dictionary, fold_scale(longer, 1.0))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_weights_of_any_float_are_read_as_float32(make_dictionary, tmp_path: Path, dtype: torch.dtype) -> None:
    dictionary = make_dictionary("standard")
    parts = {name: getattr(dictionary, name).to(dtype) for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
    folder = write(tmp_path / "sae", dictionary, {"dtype": str(dtype)}, parts)

    found = read_dictionary("saelens", folder).dictionary

    assert torch.equal(found.W_enc, dictionary.W_enc.to(dtype).float())
    assert found.b_dec.dtype == torch.float32


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"normalize_activations": "layer_norm"}, "cannot be folded"),
        ({"normalize_activations": "constant_norm_rescale"}, "cannot be folded"),
        ({"normalize_activations": "covariance_whitening"}, "activation_whitening"),
        ({"normalize_activations": "other"}, "not known"),
        ({"architecture": "transcoder"}, "transcoder"),
        ({"architecture": "jumprelu_skip_transcoder"}, "transcoder"),
        ({"d_out": 7}, "transcoder"),
        ({"architecture": "batchtopk"}, "save_inference_model"),
        ({"architecture": "matryoshka_batchtopk"}, "save_inference_model"),
        ({"architecture": "temporal"}, "what can be opened"),
        ({"architecture": None}, "what can be opened"),
        ({"activation_fn": "tanh-relu"}, "activation_fn"),
        ({"activation_fn_kwargs": {"signed": True}}, "signed"),
        ({"reshape_activations": "hook_z"}, "attention heads"),
        ({"finetuning_scaling_factor": True}, "scaling_factor"),
        ({"d_in": 7}, "d_in is 7"),
        ({"d_sae": 11}, "d_sae is 11"),
        ({"k": None}, "k is None"),
        ({"metadata": 3}, "metadata"),
    ],
)
def test_arithmetic_that_a_dictionary_does_not_have_is_refused(
    make_dictionary, tmp_path: Path, changes: dict, words: str
) -> None:
    folder = write(tmp_path / "sae", make_dictionary("topk"), changes)

    with pytest.raises(AtlasError, match=words):
        read_dictionary("saelens", folder)


@pytest.mark.external
@pytest.mark.parametrize("form", ["standard", "topk", "jumprelu", "gated"])
def test_a_folder_that_saelens_saved_gives_its_activations(activations, tmp_path: Path, form: str) -> None:
    sae_lens = pytest.importorskip("sae_lens")
    kinds = {"standard": "Standard", "topk": "TopK", "jumprelu": "JumpReLU", "gated": "Gated"}
    settings = {"k": 4, "rescale_acts_by_decoder_norm": True} if form == "topk" else {}
    config = getattr(sae_lens, f"{kinds[form]}SAEConfig")(d_in=8, d_sae=24, **settings)
    theirs = getattr(sae_lens, f"{kinds[form]}SAE")(config)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, part in theirs.named_parameters():
            part.copy_(torch.randn(part.shape, generator=generator).abs() if name == "threshold" else part)
            if name.startswith(("b_", "r_")):
                part.copy_(torch.randn(part.shape, generator=generator) / 4)
    theirs.save_model(tmp_path / "sae")
    x = activations(8)

    ours = read_dictionary("saelens", tmp_path / "sae").dictionary

    with torch.no_grad():
        codes = theirs.encode(x)
        torch.testing.assert_close(ours.encode(x), codes, rtol=0, atol=1e-5)
        torch.testing.assert_close(ours.decode(ours.encode(x)), theirs.decode(codes), rtol=0, atol=1e-5)


@pytest.mark.external
def test_a_batchtopk_dictionary_that_saelens_trained_gives_its_activations(activations, tmp_path: Path) -> None:
    sae_lens = pytest.importorskip("sae_lens")
    config = sae_lens.BatchTopKTrainingSAEConfig(d_in=8, d_sae=24, k=4)
    theirs = sae_lens.BatchTopKTrainingSAE(config)
    theirs.topk_threshold = torch.tensor(0.4, dtype=torch.float64)
    theirs.save_inference_model(str(tmp_path / "sae"))
    opened = sae_lens.SAE.load_from_disk(str(tmp_path / "sae"))
    x = activations(8)

    ours = read_dictionary("saelens", tmp_path / "sae").dictionary

    with torch.no_grad():
        torch.testing.assert_close(ours.encode(x), opened.encode(x), rtol=0, atol=1e-5)


@pytest.mark.external
@pytest.mark.parametrize(
    ("form", "changes"),
    [
        ("standard", {}),
        ("standard", {"architecture": "standard", "apply_b_dec_to_input": False, "normalize_activations": "none"}),
        ("topk", {"architecture": "standard", "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 3}}),
        ("jumprelu", {"architecture": "jumprelu", "activation_fn_str": "relu", "finetuning_scaling_factor": False}),
        ("gated", {"architecture": "gated", "normalize_activations": False}),
    ],
)
def test_an_old_config_means_what_saelens_takes_it_for(
    make_dictionary, activations, tmp_path: Path, form: str, changes: dict
) -> None:
    sae_lens = pytest.importorskip("sae_lens")
    write_dictionary("saelens", make_dictionary(form), tmp_path / "sae")
    (tmp_path / "sae" / "cfg.json").write_text(json.dumps(OLD | changes))
    x = activations(6)

    theirs = sae_lens.SAE.load_from_disk(str(tmp_path / "sae"))
    ours = read_dictionary("saelens", tmp_path / "sae").dictionary

    with torch.no_grad():
        torch.testing.assert_close(ours.encode(x), theirs.encode(x), rtol=0, atol=1e-5)
        torch.testing.assert_close(ours.decode(ours.encode(x)), theirs(x), rtol=0, atol=1e-5)


@pytest.mark.external
@pytest.mark.parametrize("form", ["Standard", "Gated"])
@pytest.mark.parametrize("kind", ["expected_average_only_in", "covariance_whitening"])
def test_a_training_checkpoint_of_saelens_is_read_with_its_scale(
    activations, tmp_path: Path, form: str, kind: str
) -> None:
    sae_lens = pytest.importorskip("sae_lens")
    from sae_lens.training.activation_scaler import (  # pyright: ignore[reportMissingImports]
        ActivationScaler,
        ActivationWhitening,
    )

    config = getattr(sae_lens, f"{form}TrainingSAEConfig")(d_in=8, d_sae=24, normalize_activations=kind)
    theirs = getattr(sae_lens, f"{form}TrainingSAE")(config)
    theirs.save_model(tmp_path / "sae")
    matrix = torch.eye(8) + torch.randn(8, 8, generator=torch.Generator().manual_seed(1)) / 10
    whitening = ActivationWhitening(torch.linspace(-1, 1, 8), matrix, matrix.inverse().contiguous())
    scaler = ActivationScaler(0.3) if kind == "expected_average_only_in" else ActivationScaler(None, whitening)
    scaler.save(str(tmp_path / "sae" / "activation_scaler.json"))
    x = 5 * activations(8)

    ours = read_dictionary("saelens", tmp_path / "sae").dictionary

    with torch.no_grad():
        codes = theirs.encode(scaler.scale(x))
        torch.testing.assert_close(ours.encode(x), codes, rtol=1e-6, atol=1e-5)
        torch.testing.assert_close(ours.decode(codes), scaler.unscale(theirs.decode(codes)), rtol=1e-6, atol=1e-5)
