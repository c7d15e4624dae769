"""A dictionary on disk: a folder that SAELens (version 6) opens as it is, with our provenance beside it.

`sae_weights.safetensors`, `cfg.json` and `sparsity.safetensors` are SAELens'; `provenance.json` is ours.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from sae.dictionaries.dictionary import FORM_TENSORS, Dictionary, Form
from sae.dictionaries.formats.reading import assemble, read_json, read_tensors, take
from sae.errors import AtlasError
from sae.identity import canonical_json, content_id, tensors_id

WEIGHTS = "sae_weights.safetensors"
CONFIG = "cfg.json"
SPARSITY = "sparsity.safetensors"
PROVENANCE = "provenance.json"

SAELENS_VERSION = "6.54.12"
"""The release whose layout is written."""

_LEAST_DENSITY = 1e-10
"""SAELens' floor under the logarithm."""


def dictionary_id(dictionary: Dictionary) -> str:
    """Id by content: the exact weights, and what turns them into codes."""
    use = [dictionary.form, dictionary.k, dictionary.apply_b_dec_to_input]
    return content_id([tensors_id(_tensors(dictionary)), *use])


def save_dictionary(dictionary: Dictionary, folder: Path, provenance: Mapping[str, Any], density: Tensor) -> str:
    """Write the four files into `folder`, made where it is missing, and return the dictionary's id.

    `density` [d_sae] is the fraction of tokens on which a latent is active; stored as log10(density + 1e-10).
    Writes in place: give a temporary folder and rename it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_saelens(dictionary, folder)
    save_file({"sparsity": torch.log10(density.float().cpu() + _LEAST_DENSITY)}, os.fspath(folder / SPARSITY))
    (folder / PROVENANCE).write_text(canonical_json(dict(provenance)) + "\n", encoding="utf-8")
    return dictionary_id(dictionary)


def write_saelens(dictionary: Dictionary, folder: Path) -> None:
    """Write the two files that SAELens opens into `folder`: the weights and their config."""
    save_file(_tensors(dictionary), os.fspath(folder / WEIGHTS))
    (folder / CONFIG).write_text(json.dumps(_config(dictionary), indent=2) + "\n", encoding="utf-8")


def load_dictionary(folder: Path) -> Dictionary:
    """Open a folder in SAELens' layout: architectures `standard`, `topk`, `jumprelu` and `gated`.

    Raises AtlasError on a missing or damaged file, and on a config that asks for arithmetic we do not have.
    """
    config = _read_config(folder / CONFIG)
    names = _names(config["architecture"])
    parts = take(read_tensors(folder / WEIGHTS), folder / WEIGHTS, *names.values())
    return assemble(
        folder / WEIGHTS,
        **dict(zip(names, parts, strict=True)),
        form=config["architecture"],
        k=config.get("k"),
        apply_b_dec_to_input=config.get("apply_b_dec_to_input", True),
        metadata=config.get("metadata", {}),
    )


def _names(form: Form) -> dict[str, str]:
    """From our tensors' names to SAELens'."""
    bias = "b_gate" if form == "gated" else "b_enc"
    same = ("W_enc", "W_dec", "b_dec", *FORM_TENSORS[form])
    return {**dict(zip(same, same, strict=True)), "b_enc": bias}


def _tensors(dictionary: Dictionary) -> dict[str, Tensor]:
    tensors = {theirs: getattr(dictionary, ours) for ours, theirs in _names(dictionary.form).items()}
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _config(dictionary: Dictionary) -> dict[str, Any]:
    config: dict[str, Any] = {
        "d_in": dictionary.d_in,
        "d_sae": dictionary.d_sae,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": dictionary.apply_b_dec_to_input,
        "normalize_activations": "none",  # folded into the weights
        "reshape_activations": "none",
        "metadata": {"sae_lens_version": SAELENS_VERSION, **dictionary.metadata},
        "architecture": dictionary.form,
    }
    if dictionary.form == "topk":
        config |= {"k": dictionary.k, "rescale_acts_by_decoder_norm": False}
    return config


def _read_config(path: Path) -> dict[str, Any]:
    config = read_json(path)
    wanted = {
        "architecture": ("standard", "topk", "jumprelu", "gated"),
        "normalize_activations": ("none",),
        "reshape_activations": ("none",),
        "rescale_acts_by_decoder_norm": (False,),
    }
    for key, allowed in wanted.items():
        found = config.get(key, None if key == "architecture" else allowed[0])
        if found not in allowed:
            raise AtlasError(f"{path}: {key} is {found!r}; what can be opened is {' or '.join(map(str, allowed))}.")
    return config
