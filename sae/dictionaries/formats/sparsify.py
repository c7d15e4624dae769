"""EleutherAI's sparsify: a folder for each hookpoint with `cfg.json` and `sae.safetensors`."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file

from sae.dictionaries.dictionary import Dictionary
from sae.dictionaries.formats.reading import (
    ForeignDictionary,
    assemble,
    check_sizes,
    read_json,
    read_tensors,
    take,
    take_matrices,
    whole_number,
)
from sae.dictionaries.formats.rewriting import with_input_bias
from sae.errors import AtlasError

_CONFIG, _WEIGHTS = "cfg.json", "sae.safetensors"

_UNIT = 1e-3
"""How far rows may be from norm 1 and still count as normalised."""


def read_sparsify(files: Mapping[str, Path]) -> ForeignDictionary:
    """A TopK dictionary: z = W_enc(x − b_dec) + b_enc, the k largest of ReLU(z).

    Raises AtlasError on transcoders, skip connections (`W_skip`: a reconstruction that is no sum of features), signed
    codes and the groupmax activation.
    """
    path, weights = files[_CONFIG], files[_WEIGHTS]
    config = read_json(path)
    tensors = read_tensors(weights)
    if config.get("transcode"):
        raise AtlasError(f"{path}: a transcoder predicts one place of the model from another. Import an autoencoder.")
    if config.get("skip_connection") or "W_skip" in tensors:
        raise AtlasError(
            f"{weights}: W_skip adds a linear map of the input to the reconstruction, which then is no sum of "
            "features. Import an autoencoder trained without skip_connection."
        )
    if (activation := config.get("activation", "topk")) != "topk":
        raise AtlasError(f"{path}: activation is {activation!r}; what can be opened is topk.")
    if config.get("signed"):
        raise AtlasError(f"{path}: signed is set, but codes here are never negative.")
    encoder, decoder = take_matrices(tensors, weights, "encoder.weight", "W_dec")
    b_enc, b_dec = take(tensors, weights, "encoder.bias", "b_dec")
    dictionary = assemble(
        weights,
        W_enc=encoder.T,
        b_enc=b_enc,
        W_dec=decoder,
        b_dec=b_dec,
        form="topk",
        k=whole_number(config, "k", path),
    )
    check_sizes(dictionary, path, d_in=config.get("d_in"), d_sae=config.get("num_latents") or None)
    return ForeignDictionary(dictionary, config)


def write_sparsify(dictionary: Dictionary, folder: Path) -> None:
    """Write a TopK dictionary into `folder`. Raises AtlasError on other forms, which sparsify does not have."""
    if dictionary.form != "topk":
        raise AtlasError(f"sparsify has topk dictionaries only; this one is {dictionary.form}. Export it as saelens.")
    written = with_input_bias(dictionary, True)
    norms = written.W_dec.norm(dim=1)
    config = {
        "activation": "topk",
        "expansion_factor": max(1, written.d_sae // written.d_in),
        "normalize_decoder": bool(((norms - 1).abs() < _UNIT).all()),
        "num_latents": written.d_sae,
        "k": written.k,
        "multi_topk": False,
        "skip_connection": False,
        "transcode": False,
        "d_in": written.d_in,
    }
    tensors = {
        "encoder.weight": written.W_enc.T,
        "encoder.bias": written.b_enc,
        "W_dec": written.W_dec,
        "b_dec": written.b_dec,
    }
    save_file({name: part.detach().cpu().contiguous() for name, part in tensors.items()}, os.fspath(folder / _WEIGHTS))
    (folder / _CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
