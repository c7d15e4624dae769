"""The dictionary_learning library: `ae.pt`, a pickle of tensors, with `config.json` beside it.

The pickle is read by torch's weights-only reader alone, which builds tensors and plain containers and calls nothing.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sae.dictionaries.dictionary import Dictionary
from sae.dictionaries.formats.reading import ForeignDictionary, assemble, read_json, take, take_matrices, whole_number
from sae.dictionaries.formats.rewriting import in_input_units, with_input_bias
from sae.errors import AtlasError

_CONFIG, _WEIGHTS = "config.json", "ae.pt"

_LINEAR = ("encoder.weight", "encoder.bias", "decoder.weight")
_PLAIN = ("W_enc", "b_enc", "W_dec", "b_dec")
_KEYS: Mapping[str, frozenset[str]] = {
    "AutoEncoder": frozenset({*_LINEAR, "bias"}),
    "AutoEncoderNew": frozenset({*_LINEAR, "decoder.bias"}),
    "AutoEncoderTopK": frozenset({*_LINEAR, "b_dec", "k", "threshold"}),
    "BatchTopKSAE": frozenset({*_LINEAR, "b_dec", "k", "threshold"}),
    "MatryoshkaBatchTopKSAE": frozenset({*_PLAIN, "k", "threshold", "group_sizes"}),
    "JumpReluAutoEncoder": frozenset({*_PLAIN, "threshold"}),
    "GatedAutoEncoder": frozenset(
        {"encoder.weight", "decoder.weight", "decoder_bias", "r_mag", "gate_bias", "mag_bias"}
    ),
}
"""The tensors that each of the library's classes saves."""

_OPTIONAL = {"AutoEncoderTopK": frozenset({"k", "threshold"})}
"""What files of older releases lack."""


def read_dictionary_learning(files: Mapping[str, Path]) -> ForeignDictionary:
    """Every class of the library. Codes are those of its `encode` with the file's weights as they are.

    A final `ae.pt` is over raw activations. A backup saved under the same name, {step, ae, optimizer, config,
    norm_factor}, is over activations divided by norm_factor: its biases are put back into raw units, as the library
    does when it ends. `config.json` is needed where tensors alone leave the class open (TopK and BatchTopK save the
    same). Raises AtlasError where the file would have to run code to be read.
    """
    path = files[_WEIGHTS]
    loaded = _load(path)
    config = read_json(files[_CONFIG]) if _CONFIG in files else {}
    norm = 1.0
    if isinstance(loaded.get("ae"), Mapping):
        norm = _norm_factor(loaded, path)
        config = config or {"trainer": loaded.get("config")}
        loaded = loaded["ae"]
    tensors = {str(name): value for name, value in loaded.items() if isinstance(value, Tensor)}
    if len(tensors) != len(loaded):
        raise AtlasError(f"{path} holds other things than tensors: it is no dictionary's state.")
    trainer = config.get("trainer")
    trainer = trainer if isinstance(trainer, dict) else {}
    kind = _class(tensors, trainer, path)
    dictionary = _dictionary(kind, tensors, trainer, path)
    return ForeignDictionary(dictionary if norm == 1.0 else in_input_units(dictionary, norm), config)


def write_dictionary_learning(dictionary: Dictionary, folder: Path) -> None:
    """Write `ae.pt` and `config.json` into `folder`, in the library's class of the dictionary's form."""
    match dictionary.form:
        case "standard":
            kind, written = ("AutoEncoder" if dictionary.apply_b_dec_to_input else "AutoEncoderNew"), dictionary
        case "topk":
            kind, written = "AutoEncoderTopK", with_input_bias(dictionary, True)
        case "jumprelu":
            kind, written = "JumpReluAutoEncoder", with_input_bias(dictionary, False)
        case "gated":
            kind, written = "GatedAutoEncoder", with_input_bias(dictionary, True)
    hook = str(dictionary.metadata.get("hook_name", ""))
    parts = hook.split(".")
    trainer = {
        "dict_class": kind,
        "activation_dim": written.d_in,
        "dict_size": written.d_sae,
        "layer": int(parts[1]) if parts[0] == "layers" and len(parts) > 1 and parts[1].isdigit() else None,
        "lm_name": dictionary.metadata.get("model_name"),
        "submodule_name": hook or None,
    }
    if written.k is not None:
        trainer["k"] = written.k
    config = {"trainer": trainer, "buffer": {"ctx_len": dictionary.metadata.get("context_size")}}
    state = {name: part.detach().cpu().contiguous() for name, part in _state(kind, written).items()}
    torch.save(state, folder / _WEIGHTS)
    (folder / _CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _load(path: Path) -> Mapping[str, Any]:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    # A damaged or hostile pickle can fail in any way that the reader's instructions can.
    except Exception as error:
        words = " ".join(str(error).split("\n")[0].split())[:160]
        raise AtlasError(
            f"{path} cannot be read as tensors alone, and nothing else is ever unpickled: {words}"
        ) from error
    if not isinstance(loaded, Mapping):
        raise AtlasError(f"{path} holds a {type(loaded).__name__}; the state of a dictionary is wanted.")
    return loaded


def _norm_factor(backup: Mapping[str, Any], path: Path) -> float:
    value = backup.get("norm_factor")
    if value is None:
        return 1.0
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise AtlasError(f"{path}: norm_factor is {value!r}; a positive number is wanted.")
    return float(value)


def _class(tensors: Mapping[str, Tensor], trainer: Mapping[str, Any], path: Path) -> str:
    fitting = [
        kind
        for kind, keys in _KEYS.items()
        if set(tensors) <= keys and keys - set(tensors) <= _OPTIONAL.get(kind, frozenset())
    ]
    if not fitting:
        raise AtlasError(f"{path} holds {', '.join(sorted(tensors)) or 'nothing'}: no class of dictionary_learning.")
    stated = trainer.get("dict_class")
    if stated is not None and stated not in fitting:
        raise AtlasError(f"{path.with_name(_CONFIG)}: dict_class is {stated!r}, but {path.name} is {fitting[0]}.")
    if stated is None and len(fitting) > 1:
        raise AtlasError(
            f"{path} may be {' or '.join(fitting)}, which save the same tensors and choose latents differently. "
            f"Put the library's {_CONFIG} beside it: its trainer.dict_class says which."
        )
    return stated or fitting[0]


def _dictionary(kind: str, tensors: Mapping[str, Tensor], trainer: Mapping[str, Any], path: Path) -> Dictionary:
    if kind in ("JumpReluAutoEncoder", "MatryoshkaBatchTopKSAE"):
        W_enc, b_enc, W_dec, b_dec, threshold = take(tensors, path, *_PLAIN, "threshold")
        parts: dict[str, Any] = {"W_enc": W_enc, "b_enc": b_enc, "W_dec": W_dec, "b_dec": b_dec, "form": "jumprelu"}
        parts["threshold"] = threshold.expand(b_enc.shape) if threshold.ndim == 0 else threshold
        return assemble(path, **parts, apply_b_dec_to_input=kind != "JumpReluAutoEncoder")
    encoder, decoder = take_matrices(tensors, path, "encoder.weight", "decoder.weight")
    parts = {"W_enc": encoder.T, "W_dec": decoder.T}
    match kind:
        case "GatedAutoEncoder":
            names = ("gate_bias", "decoder_bias", "r_mag", "mag_bias")
            gate_bias, b_dec, r_mag, b_mag = take(tensors, path, *names)
            return assemble(path, **parts, b_enc=gate_bias, b_dec=b_dec, r_mag=r_mag, b_mag=b_mag, form="gated")
        case "AutoEncoder" | "AutoEncoderNew":
            before = kind == "AutoEncoder"
            b_enc, b_dec = take(tensors, path, "encoder.bias", "bias" if before else "decoder.bias")
            return assemble(path, **parts, b_enc=b_enc, b_dec=b_dec, form="standard", apply_b_dec_to_input=before)
        case "AutoEncoderTopK":
            b_enc, b_dec = take(tensors, path, "encoder.bias", "b_dec")
            return assemble(path, **parts, b_enc=b_enc, b_dec=b_dec, form="topk", k=_k(tensors, trainer, path))
    b_enc, b_dec, threshold = take(tensors, path, "encoder.bias", "b_dec", "threshold")
    threshold = threshold.expand(b_enc.shape) if threshold.ndim == 0 else threshold
    return assemble(path, **parts, b_enc=b_enc, b_dec=b_dec, threshold=threshold, form="jumprelu")


def _k(tensors: Mapping[str, Tensor], trainer: Mapping[str, Any], path: Path) -> int:
    if "k" not in tensors:
        return whole_number(trainer, "k", path.with_name(_CONFIG))
    k = tensors["k"]
    if k.numel() != 1 or k.is_floating_point():
        raise AtlasError(f"{path}: k is no whole number.")
    return int(k)


def _state(kind: str, dictionary: Dictionary) -> dict[str, Tensor]:
    """The tensors under the names of the library's class."""
    if kind == "JumpReluAutoEncoder":
        return {name: getattr(dictionary, name) for name in (*_PLAIN, "threshold")}
    state = {"encoder.weight": dictionary.W_enc.T, "decoder.weight": dictionary.W_dec.T}
    if kind == "GatedAutoEncoder":
        assert dictionary.r_mag is not None
        assert dictionary.b_mag is not None
        gate = {"gate_bias": dictionary.b_enc, "r_mag": dictionary.r_mag, "mag_bias": dictionary.b_mag}
        return state | gate | {"decoder_bias": dictionary.b_dec}
    state["encoder.bias"] = dictionary.b_enc
    state[{"AutoEncoder": "bias", "AutoEncoderNew": "decoder.bias"}.get(kind, "b_dec")] = dictionary.b_dec
    if dictionary.k is not None:
        # The library's own value for a threshold that was never estimated.
        state |= {"k": torch.tensor(dictionary.k, dtype=torch.int32), "threshold": torch.tensor(-1.0)}
    return state
