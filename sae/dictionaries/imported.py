"""Dictionaries that are not trained here, at a site of this platform: measured, described, put into a folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import torch

from sae.activations.manifest import ActivationSet
from sae.activations.source import ActivationSource
from sae.config.imported import ImportConfig, NeuronsConfig
from sae.dictionaries.build import BuiltDictionary
from sae.dictionaries.dictionary import Dictionary
from sae.dictionaries.formats.exchange import read_dictionary
from sae.dictionaries.formats.files import hashes, imported_id, neurons_id, source_files
from sae.dictionaries.layout import save_dictionary
from sae.dictionaries.measured import measure_dictionary
from sae.errors import AtlasError
from sae.models.subject import Subject


def import_dictionary(
    recipe: ImportConfig | NeuronsConfig,
    base: Path,
    activation_set: ActivationSet,
    source: ActivationSource,
    subject: Subject,
    documents: pl.DataFrame,
    folder: Path,
    provenance: Mapping[str, Any],
) -> BuiltDictionary:
    """Open the recipe's source, a path relative to `base`, and measure it as `build_dictionary` does its own.

    Its id is `imported_id`, or for a site's neurons `neurons_id`. Written: SAELens' files, and `provenance` with what
    was imported added to it: the file's name, the hashes and the settings found in it.
    Raises AtlasError where the file cannot be opened or reads another width than the site's.
    """
    if isinstance(recipe, ImportConfig):
        dictionary, imported = _opened(recipe, base, activation_set)
    else:
        dictionary, imported = neuron_dictionary(activation_set.d_model), None
    measured = measure_dictionary(dictionary, activation_set, source, subject, documents)
    facts = {
        "architecture": recipe.architecture,
        "d_in": dictionary.d_in,
        "d_sae": dictionary.d_sae,
        "k": dictionary.k,
        "tokens_trained": None,
    }
    if imported:
        facts["imported"] = imported
    described = {**provenance, **facts, "normalisation": {"kind": "none", "scale": 1.0}, "quality": measured.quality}
    weights_id = save_dictionary(measured.dictionary, folder, described, measured.density)
    dictionary_id = (
        imported_id(weights_id, recipe.format, imported["files"], activation_set.site)
        if isinstance(recipe, ImportConfig) and imported
        else neurons_id(weights_id, activation_set.site, subject.model_id)
    )
    return BuiltDictionary(dictionary_id, folder, facts, measured.quality, measured.loss_groups, history=[])


def neuron_dictionary(d: int) -> Dictionary:
    """Latent i is dimension i where that is positive: f = ReLU(x), x̂ = f, over inputs of d dimensions."""
    eye, zeros = torch.eye(d), torch.zeros(d)
    return Dictionary(eye, zeros, eye.clone(), zeros.clone(), "standard", apply_b_dec_to_input=False)


def _opened(recipe: ImportConfig, base: Path, activation_set: ActivationSet) -> tuple[Dictionary, dict[str, Any]]:
    path = base / recipe.source
    foreign = read_dictionary(recipe.format, path)
    if foreign.dictionary.d_in != activation_set.d_model:
        raise AtlasError(
            f"{path.name} reads activations of {foreign.dictionary.d_in} dimensions, but {activation_set.site} has "
            f"{activation_set.d_model}. Name the sites that it was trained on in `sites`."
        )
    return foreign.dictionary, {
        "format": recipe.format,
        "name": path.name,
        "form": foreign.dictionary.form,
        "files": hashes(source_files(recipe.format, path)),
        "config": dict(foreign.config),
    }
