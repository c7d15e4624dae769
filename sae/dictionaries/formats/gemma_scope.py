"""Gemma Scope's `params.npz`: JumpReLU dictionaries whose encoder reads x itself (Lieberum et al. 2024, §2)."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sae.dictionaries.dictionary import Dictionary
from sae.dictionaries.formats.reading import ForeignDictionary, assemble, take
from sae.dictionaries.formats.rewriting import with_input_bias
from sae.errors import AtlasError

_WEIGHTS = "params.npz"
_NAMES = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")


def read_gemma_scope(files: Mapping[str, Path]) -> ForeignDictionary:
    """Arrays W_enc, W_dec, b_enc, b_dec and threshold, in upper or lower case; nothing is unpickled.

    The file says nothing of its model. Raises AtlasError on other arrays than these: a scaling factor other than 1, or
    a transcoder's skip connection.
    """
    path = files[_WEIGHTS]
    tensors = _arrays(path)
    names = {name.lower(): name for name in _NAMES}
    known = {names.get(name.lower(), name): tensor for name, tensor in tensors.items()}
    if (factor := known.pop("scaling_factor", None)) is not None and not bool((factor == 1).all()):
        raise AtlasError(f"{path}: scaling_factor is not 1, and the file does not say what it scales.")
    if others := sorted(set(known) - set(_NAMES)):
        raise AtlasError(f"{path} holds {', '.join(others)} beside a dictionary's arrays: it is another kind of model.")
    W_enc, b_enc, W_dec, b_dec, threshold = take(known, path, *_NAMES)
    dictionary = assemble(
        path,
        W_enc=W_enc,
        b_enc=b_enc,
        W_dec=W_dec,
        b_dec=b_dec,
        threshold=threshold,
        form="jumprelu",
        apply_b_dec_to_input=False,
    )
    return ForeignDictionary(dictionary, {})


def write_gemma_scope(dictionary: Dictionary, folder: Path) -> None:
    """Write a JumpReLU dictionary, or a standard one as JumpReLU with thresholds of 0, into `folder`.

    Raises AtlasError on forms that no threshold can stand for.
    """
    if dictionary.form not in ("jumprelu", "standard"):
        raise AtlasError(
            f"gemma_scope has jumprelu dictionaries only; this one is {dictionary.form}. Export it as saelens."
        )
    written = with_input_bias(dictionary, False)
    threshold = torch.zeros_like(written.b_enc) if written.threshold is None else written.threshold
    parts = {"W_enc": written.W_enc, "b_enc": written.b_enc, "W_dec": written.W_dec, "b_dec": written.b_dec}
    arrays = {name: part.detach().cpu().numpy() for name, part in {**parts, "threshold": threshold}.items()}
    np.savez(folder / _WEIGHTS, allow_pickle=False, **arrays)


def _arrays(path: Path) -> dict[str, Tensor]:
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise AtlasError(f"{path} is a single array; an archive of {', '.join(_NAMES)} is wanted.")
        with archive:
            return {name: torch.from_numpy(archive[name].copy()) for name in archive.files}
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        words = " ".join(str(error).split())[:200]
        raise AtlasError(f"{path} is missing, damaged or holds other things than arrays: {words}") from error
