import json
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sae.dictionaries.formats.exchange import read_dictionary, write_dictionary
from sae.errors import AtlasError

D_IN, D_SAE = 5, 12
CLASSES = (
    "AutoEncoder",
    "AutoEncoderNew",
    "AutoEncoderTopK",
    "BatchTopKSAE",
    "MatryoshkaBatchTopKSAE",
    "JumpReluAutoEncoder",
    "GatedAutoEncoder",
)


def state_of(kind: str) -> dict[str, Tensor]:
    """What the library's class saves: linear layers as [out, in], or plain matrices."""
    generator = torch.Generator().manual_seed(CLASSES.index(kind))

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    batch = {"k": torch.tensor(3, dtype=torch.int32), "threshold": torch.tensor(0.5)}
    plain = {"W_enc": random(D_IN, D_SAE), "b_enc": random(D_SAE), "W_dec": random(D_SAE, D_IN), "b_dec": random(D_IN)}
    if kind == "JumpReluAutoEncoder":
        return plain | {"threshold": random(D_SAE).abs()}
    if kind == "MatryoshkaBatchTopKSAE":
        return plain | batch | {"group_sizes": torch.tensor([4, 8])}
    linear = {"encoder.weight": random(D_SAE, D_IN), "decoder.weight": random(D_IN, D_SAE)}
    match kind:
        case "GatedAutoEncoder":
            small = {name: random(D_SAE) / 4 for name in ("r_mag", "gate_bias", "mag_bias")}
            return linear | small | {"decoder_bias": random(D_IN)}
        case "AutoEncoder":
            return linear | {"encoder.bias": random(D_SAE), "bias": random(D_IN)}
        case "AutoEncoderNew":
            return linear | {"encoder.bias": random(D_SAE), "decoder.bias": random(D_IN)}
    return linear | {"encoder.bias": random(D_SAE), "b_dec": random(D_IN)} | batch


def codes_of(kind: str, state: dict[str, Tensor], x: Tensor) -> Tensor:
    """The class's `encode`, by its documented equation."""
    if kind == "JumpReluAutoEncoder":
        z = x @ state["W_enc"] + state["b_enc"]
        return (z * (z > state["threshold"])).relu()
    if kind == "MatryoshkaBatchTopKSAE":
        z = ((x - state["b_dec"]) @ state["W_enc"] + state["b_enc"]).relu()
        return z * (z > state["threshold"])
    encoder = state["encoder.weight"].T
    if kind == "GatedAutoEncoder":
        product = (x - state["decoder_bias"]) @ encoder
        magnitude = (state["r_mag"].exp() * product + state["mag_bias"]).relu()
        return (product + state["gate_bias"] > 0) * magnitude
    centre = {"AutoEncoder": "bias", "AutoEncoderNew": None}.get(kind, "b_dec")
    z = ((x - state[centre] if centre else x) @ encoder + state["encoder.bias"]).relu()
    if kind == "BatchTopKSAE":
        return z * (z > state["threshold"])
    if kind == "AutoEncoderTopK":
        return z * (z >= z.topk(3, dim=1).values[:, -1:])
    return z


def save(folder: Path, kind: str, state: Any, trainer: dict | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    torch.save(state, folder / "ae.pt")
    (folder / "config.json").write_text(json.dumps({"trainer": {"dict_class": kind} | (trainer or {}), "buffer": {}}))
    return folder


@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_gives_its_own_codes(activations, tmp_path: Path, kind: str) -> None:
    state = state_of(kind)
    x = activations(D_IN)

    found = read_dictionary("dictionary_learning", save(tmp_path / "trainer_0", kind, state))

    torch.testing.assert_close(found.dictionary.encode(x), codes_of(kind, state, x), rtol=0, atol=1e-5)
    assert found.config["trainer"]["dict_class"] == kind


@pytest.mark.parametrize("kind", ["AutoEncoder", "JumpReluAutoEncoder", "GatedAutoEncoder", "BatchTopKSAE"])
def test_a_backup_over_normalised_activations_is_put_back_into_raw_units(
    activations, tmp_path: Path, kind: str
) -> None:
    state = state_of(kind)
    backup = {
        "step": 100,
        "ae": OrderedDict(state),
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 1e-3, "params": [0]}]},
        "config": {"dict_class": kind, "lm_name": "pythia"},
        "norm_factor": 4.0,
    }
    folder = tmp_path / "trainer_0"
    folder.mkdir()
    torch.save(backup, folder / "ae.pt")
    x = activations(D_IN)

    found = read_dictionary("dictionary_learning", folder)

    dictionary, normalised = found.dictionary, codes_of(kind, state, x / 4)
    torch.testing.assert_close(dictionary.encode(x), 4 * normalised, rtol=0, atol=2e-5)
    assert found.config["trainer"]["lm_name"] == "pythia"


def test_a_final_file_is_raw_whatever_its_config_says_of_the_norm(activations, tmp_path: Path) -> None:
    state = state_of("AutoEncoder")
    folder = save(tmp_path / "trainer_0", "AutoEncoder", state, {"norm_factor": 9.0})
    x = activations(D_IN)

    found = read_dictionary("dictionary_learning", folder).dictionary

    torch.testing.assert_close(found.encode(x), codes_of("AutoEncoder", state, x), rtol=0, atol=1e-5)


def test_a_backup_without_a_norm_is_raw(activations, tmp_path: Path) -> None:
    state = state_of("GatedAutoEncoder")
    torch.save({"step": 1, "ae": state, "norm_factor": None}, tmp_path / "ae.pt")
    x = activations(D_IN)

    found = read_dictionary("dictionary_learning", tmp_path).dictionary

    torch.testing.assert_close(found.encode(x), codes_of("GatedAutoEncoder", state, x), rtol=0, atol=1e-5)


def test_tensors_that_two_classes_share_want_the_config(tmp_path: Path) -> None:
    torch.save(state_of("BatchTopKSAE"), tmp_path / "ae.pt")

    with pytest.raises(AtlasError, match=r"AutoEncoderTopK or BatchTopKSAE.*config\.json"):
        read_dictionary("dictionary_learning", tmp_path)


def test_a_topk_file_of_an_older_release_takes_k_from_the_config(tmp_path: Path) -> None:
    state = state_of("AutoEncoderTopK")
    old = {name: part for name, part in state.items() if name not in ("k", "threshold")}

    found = read_dictionary("dictionary_learning", save(tmp_path / "t", "AutoEncoderTopK", old, {"k": 4})).dictionary

    assert (found.form, found.k) == ("topk", 4)
    with pytest.raises(AtlasError, match="k is None"):
        read_dictionary("dictionary_learning", save(tmp_path / "t", "AutoEncoderTopK", old))


class Command:
    """A pickle of this runs a shell command when it is loaded."""

    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> tuple[Callable, tuple[str]]:
        return (os.system, (self._command,))


@pytest.mark.parametrize("place", ["whole", "among the tensors", "plain pickle"])
def test_a_pickle_that_runs_a_command_is_refused_and_runs_nothing(tmp_path: Path, place: str) -> None:
    command = Command(f"touch {tmp_path / 'ran'}")
    value = command if place == "whole" else {**state_of("AutoEncoder"), "extra": command}
    if place == "plain pickle":
        (tmp_path / "ae.pt").write_bytes(pickle.dumps({"bias": command}, protocol=2))
    else:
        torch.save(value, tmp_path / "ae.pt")

    with pytest.raises(AtlasError, match="nothing else is ever unpickled"):
        read_dictionary("dictionary_learning", tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ([1, 2], "holds a list"),
        ({"bias": 3}, "other things than tensors"),
        ({"bias": torch.zeros(3)}, "no class of dictionary_learning"),
        ({}, "no class of dictionary_learning"),
        ({"ae": {"bias": torch.zeros(3)}, "norm_factor": -1.0}, "norm_factor is -1"),
        ({**state_of("AutoEncoder"), "bias": torch.zeros(D_IN + 1)}, "b_dec is of shape"),
        ({**state_of("AutoEncoder"), "encoder.weight": torch.zeros(D_SAE)}, "encoder.weight is of shape"),
    ],
)
def test_a_file_that_is_no_dictionary_is_refused(tmp_path: Path, state: Any, words: str) -> None:
    torch.save(state, tmp_path / "ae.pt")

    with pytest.raises(AtlasError, match=words):
        read_dictionary("dictionary_learning", tmp_path)


def test_a_config_that_names_another_class_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path / "trainer_0", "BatchTopKSAE", state_of("GatedAutoEncoder"))

    with pytest.raises(AtlasError, match="dict_class is 'BatchTopKSAE'"):
        read_dictionary("dictionary_learning", folder)


@pytest.mark.external
@pytest.mark.parametrize("kind", CLASSES)
def test_a_file_that_the_library_saved_gives_its_activations(activations, tmp_path: Path, kind: str) -> None:
    pytest.importorskip("dictionary_learning")
    from dictionary_learning import dictionary as plain  # pyright: ignore[reportMissingImports]
    from dictionary_learning.trainers import (  # pyright: ignore[reportMissingImports]
        batch_top_k,
        matryoshka_batch_top_k,
        top_k,
    )

    module = {
        "AutoEncoderTopK": top_k,
        "BatchTopKSAE": batch_top_k,
        "MatryoshkaBatchTopKSAE": matryoshka_batch_top_k,
    }.get(kind, plain)
    sizes = {"k": 3} if "TopK" in kind else {}
    if kind == "MatryoshkaBatchTopKSAE":
        sizes["group_sizes"] = [4, 8]  # pyright: ignore[reportArgumentType]
    theirs = getattr(module, kind)(D_IN, D_SAE, **sizes)
    theirs.load_state_dict(state_of(kind))
    folder = save(tmp_path / "trainer_0", kind, theirs.state_dict())
    x = activations(D_IN)

    ours = read_dictionary("dictionary_learning", folder).dictionary

    with torch.no_grad():
        codes = theirs.encode(x)
        torch.testing.assert_close(ours.encode(x), codes, rtol=0, atol=1e-5)
        torch.testing.assert_close(ours.decode(ours.encode(x)), theirs.decode(codes), rtol=0, atol=1e-5)


@pytest.mark.external
@pytest.mark.parametrize("form", ["standard", "topk", "jumprelu", "gated"])
@pytest.mark.parametrize("before", [True, False])
def test_the_library_opens_what_is_exported(
    make_dictionary, activations, tmp_path: Path, form: str, before: bool
) -> None:
    pytest.importorskip("dictionary_learning")
    from dictionary_learning.utils import load_dictionary  # pyright: ignore[reportMissingImports]

    dictionary = make_dictionary(form, 8, 20, 1, before)
    write_dictionary("dictionary_learning", dictionary, tmp_path / "trainer_0")
    x = activations(8)

    theirs, _ = load_dictionary(str(tmp_path / "trainer_0"), "cpu")

    with torch.no_grad():
        codes = theirs.encode(x)
        torch.testing.assert_close(codes, dictionary.encode(x), rtol=0, atol=1e-5)
        torch.testing.assert_close(theirs.decode(codes), dictionary.decode(codes), rtol=0, atol=1e-5)


@pytest.mark.external
@pytest.mark.parametrize("kind", ["JumpReluAutoEncoder", "GatedAutoEncoder", "BatchTopKSAE"])
def test_what_the_library_trained_over_normalised_activations_is_read_in_raw_units(
    activations, tmp_path: Path, kind: str
) -> None:
    pytest.importorskip("dictionary_learning")
    from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer  # pyright: ignore[reportMissingImports]
    from dictionary_learning.trainers.gdm import GatedSAETrainer  # pyright: ignore[reportMissingImports]
    from dictionary_learning.trainers.jumprelu import JumpReluTrainer  # pyright: ignore[reportMissingImports]
    from dictionary_learning.training import trainSAE  # pyright: ignore[reportMissingImports]
    from dictionary_learning.utils import load_dictionary  # pyright: ignore[reportMissingImports]

    x = 20 * activations(D_IN)
    trainers = {
        "JumpReluAutoEncoder": {"trainer": JumpReluTrainer, "sparsity_penalty": 0.0},
        "GatedAutoEncoder": {"trainer": GatedSAETrainer, "l1_penalty": 0.0},
        "BatchTopKSAE": {"trainer": BatchTopKTrainer, "k": 3, "threshold_start_step": 5},
    }
    common = {"steps": 30, "activation_dim": D_IN, "dict_size": D_SAE, "layer": 3, "lm_name": "pythia", "device": "cpu"}
    short = {"warmup_steps": 2} | ({"sparsity_warmup_steps": 4} if kind != "BatchTopKSAE" else {})
    trainSAE(
        data=[x.clone() for _ in range(200)],  # the library divides them in place
        trainer_configs=[trainers[kind] | common | short],
        steps=30,
        save_dir=str(tmp_path),
        normalize_activations=True,
        device="cpu",
    )

    ours = read_dictionary("dictionary_learning", tmp_path / "trainer_0").dictionary
    theirs, _ = load_dictionary(str(tmp_path / "trainer_0"), "cpu")

    with torch.no_grad():
        codes = theirs.encode(x)
        torch.testing.assert_close(ours.encode(x), codes, rtol=1e-6, atol=1e-5)
        torch.testing.assert_close(ours.decode(codes), theirs.decode(codes), rtol=1e-6, atol=1e-5)
        assert (codes > 0).any()
