"""SAELens folders, of version 6 and before: `cfg.json` and `sae_weights.safetensors`.

What its config asks for beside the encoder and decoder is folded into the weights, or refused where it cannot be.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from sae.dictionaries.dictionary import FORM_TENSORS, Dictionary, Form, fold_scale
from sae.dictionaries.formats.reading import (
    ForeignDictionary,
    assemble,
    check_sizes,
    read_json,
    read_tensors,
    take,
    whole_number,
)
from sae.dictionaries.formats.rewriting import over_raw_input, over_unwhitened_input
from sae.errors import AtlasError

_CONFIG, _WEIGHTS = "cfg.json", "sae_weights.safetensors"
_SCALER, _WHITENING = "activation_scaler.json", "activation_whitening.safetensors"

_RENAMED = {
    "hook_point": "hook_name",
    "hook_point_head_index": "hook_head_index",
    "activation_fn_str": "activation_fn",
}
"""Keys of SAELens before version 6, and what they became."""

_DESCRIPTION = ("model_name", "hook_name", "hook_head_index", "context_size", "prepend_bos")

_REFUSED_NORMALISATION = {
    "constant_norm_rescale": "divides every activation by its own norm",
    "layer_norm": "divides every activation by its own standard deviation",
}


def read_saelens(files: Mapping[str, Path]) -> ForeignDictionary:
    """Architectures standard, topk, jumprelu and gated. Codes are SAELens' own, over raw activations.

    Folded in: `expected_average_only_in` and `covariance_whitening` where a checkpoint has what they scale with beside
    the weights, the fine-tuning factor of the codes, `rescale_acts_by_decoder_norm`. Raises AtlasError on transcoders,
    on training checkpoints whose inference form SAELens has not made, and on normalisations that depend on the token.
    """
    path = files[_CONFIG]
    stated = read_json(path)
    config = _current_keys(stated, path)
    form = _form(config, path)
    tensors = read_tensors(files[_WEIGHTS])
    bias = "b_gate" if form == "gated" else "b_enc"
    names = ("W_enc", bias, "W_dec", "b_dec", *FORM_TENSORS[form])
    parts = dict(zip(names, take(tensors, files[_WEIGHTS], *names), strict=True))
    parts["b_enc"] = parts.pop(bias)
    dictionary = assemble(
        files[_WEIGHTS],
        **parts,
        form=form,
        k=whole_number(config, "k", path) if form == "topk" else None,
        apply_b_dec_to_input=bool(config.get("apply_b_dec_to_input", True)),
        metadata=_description(config),
    )
    check_sizes(dictionary, path, d_in=config.get("d_in"), d_sae=config.get("d_sae"))
    dictionary = _with_code_factor(dictionary, tensors, config, path)
    if form == "topk" and config.get("rescale_acts_by_decoder_norm"):
        dictionary = fold_scale(dictionary, 1.0)
    return ForeignDictionary(_unnormalised(dictionary, config, files), stated)


def _current_keys(stated: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The config under version 6's keys."""
    config = {_RENAMED.get(key, key): value for key, value in stated.items()}
    if not isinstance(config.get("metadata", {}), dict):
        raise AtlasError(f"{path}: metadata is not a mapping.")
    if "metadata" not in config:
        config.setdefault("architecture", "standard")
    if config.get("activation_fn") == "topk":
        arguments = config.get("activation_fn_kwargs")
        if config["architecture"] == "standard":
            config["architecture"] = "topk"
        if isinstance(arguments, dict):
            config.setdefault("k", arguments.get("k"))
    normalisation = config.get("normalize_activations")
    if isinstance(normalisation, bool):
        config["normalize_activations"] = "expected_average_only_in" if normalisation else "none"
    return config


def _form(config: Mapping[str, Any], path: Path) -> Form:
    name = str(config.get("architecture"))
    if "transcoder" in name or config.get("d_out", config.get("d_in")) != config.get("d_in"):
        raise AtlasError(
            f"{path}: a transcoder ({name}) predicts one place of the model from another; a dictionary of a site "
            "reconstructs what it reads. Import an autoencoder."
        )
    if "batchtopk" in name:
        raise AtlasError(
            f"{path}: {name} is a form for training. Save it with SAELens' save_inference_model, which makes it a "
            "jumprelu dictionary."
        )
    if name not in FORM_TENSORS:
        raise AtlasError(f"{path}: architecture is {name!r}; what can be opened is {', '.join(FORM_TENSORS)}.")
    activation = config.get("activation_fn") or "relu"
    if activation not in ("relu", "topk"):
        raise AtlasError(f"{path}: activation_fn is {activation!r}; what can be opened is relu or topk.")
    if (config.get("activation_fn_kwargs") or {}).get("signed"):
        raise AtlasError(f"{path}: activation_fn_kwargs asks for signed codes; codes here are never negative.")
    reshape = config.get("reshape_activations", "hook_z" if "hook_z" in str(_hook(config)) else "none")
    if reshape not in ("none", None):
        raise AtlasError(
            f"{path}: reshape_activations is {reshape!r}: the dictionary reads attention heads before their output "
            "projection, and no hookpoint here gives those."
        )
    return cast(Form, name)


def _with_code_factor(
    dictionary: Dictionary, tensors: Mapping[str, Tensor], config: Mapping[str, Any], path: Path
) -> Dictionary:
    """Fold the factor that SAELens (before version 6) learns in fine-tuning and puts on the codes when it decodes."""
    found = next((name for name in ("scaling_factor", "finetuning_scaling_factor") if name in tensors), None)
    if found is None:
        if config.get("finetuning_scaling_factor"):
            raise AtlasError(f"{path}: finetuning_scaling_factor is set, but the weights hold no scaling_factor.")
        return dictionary
    (factor,) = take(tensors, path.with_name(_WEIGHTS), found)
    if factor.shape != dictionary.b_enc.shape:
        raise AtlasError(f"{path.with_name(_WEIGHTS)}: {found} is of shape {list(factor.shape)}.")
    if bool((factor == 1).all()):
        return dictionary
    if not config.get("finetuning_scaling_factor"):
        raise AtlasError(f"{path}: the weights hold a {found}, but finetuning_scaling_factor is not set.")
    return replace(dictionary, W_dec=dictionary.W_dec * factor[:, None])


def _unnormalised(dictionary: Dictionary, config: Mapping[str, Any], files: Mapping[str, Path]) -> Dictionary:
    kind = config.get("normalize_activations") or "none"
    if kind == "none":
        return dictionary
    path = files[_CONFIG]
    if because := _REFUSED_NORMALISATION.get(kind):
        raise AtlasError(
            f"{path}: normalize_activations is {kind!r}, which {because}: it cannot be folded into the weights, so "
            "no attribution through this dictionary would be right."
        )
    if kind == "covariance_whitening":
        return _unwhitened(dictionary, files)
    if kind != "expected_average_only_in":
        raise AtlasError(f"{path}: normalize_activations is {kind!r}, which is not known.")
    factor: object = config.get("norm_scaling_factor")
    if _SCALER in files:
        factor = read_json(files[_SCALER]).get("scaling_factor")
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor < float("inf"):
        raise AtlasError(
            f"{path}: normalize_activations is {kind!r}, but its factor is not there (an {_SCALER} beside it, or "
            "norm_scaling_factor in it). Save with SAELens after training, which folds it in."
        )
    return over_raw_input(dictionary, float(factor))


def _unwhitened(dictionary: Dictionary, files: Mapping[str, Path]) -> Dictionary:
    if _WHITENING not in files:
        raise AtlasError(
            f"{files[_CONFIG]}: normalize_activations is 'covariance_whitening', but no {_WHITENING} lies beside it. "
            "Save with SAELens after training, which folds it in."
        )
    path, d_in = files[_WHITENING], dictionary.d_in
    mean, matrix, inverse = take(read_tensors(path), path, "mean", "matrix", "inverse_matrix")
    if mean.shape != (d_in,) or matrix.shape != (d_in, d_in) or inverse.shape != (d_in, d_in):
        raise AtlasError(f"{path} is not for activations of {d_in} dimensions.")
    return over_unwhitened_input(dictionary, mean, matrix, inverse)


def _hook(config: Mapping[str, Any]) -> object:
    return config.get("hook_name", config.get("metadata", {}).get("hook_name"))


def _description(config: Mapping[str, Any]) -> dict[str, Any]:
    return {**{key: config[key] for key in _DESCRIPTION if key in config}, **config.get("metadata", {})}
