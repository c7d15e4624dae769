"""A dictionary that somebody else trained, at a site of this platform: measured, described, put into a folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from sae.activations.manifest import ActivationSet
from sae.activations.source import ActivationSource
from sae.config.imported import ImportConfig
from sae.dictionaries.build import BuiltDictionary
from sae.dictionaries.formats.exchange import read_dictionary
from sae.dictionaries.formats.files import hashes, imported_id, source_files
from sae.dictionaries.layout import save_dictionary
from sae.dictionaries.measured import measure_dictionary
from sae.errors import AtlasError
from sae.models.subject import Subject


def import_dictionary(
    recipe: ImportConfig,
    base: Path,
    activation_set: ActivationSet,
    source: ActivationSource,
    subject: Subject,
    documents: pl.DataFrame,
    folder: Path,
    provenance: Mapping[str, Any],
) -> BuiltDictionary:
    """Open the recipe's source, a path relative to `base`, and measure it as `build_dictionary` does its own.

    Its id is `imported_id`. Written: SAELens' files, and `provenance` with what was imported added to it: the file's
    name, the hashes and the settings found in it.
    Raises AtlasError where the file cannot be opened or reads another width than the site's.
    """
    path = base / recipe.source
    foreign = read_dictionary(recipe.format, path)
    if foreign.dictionary.d_in != activation_set.d_model:
        raise AtlasError(
            f"{path.name} reads activations of {foreign.dictionary.d_in} dimensions, but {activation_set.site} has "
            f"{activation_set.d_model}. Name the sites that it was trained on in `sites`."
        )
    sha256 = hashes(source_files(recipe.format, path))
    measured = measure_dictionary(foreign.dictionary, activation_set, source, subject, documents)
    facts = {
        "architecture": recipe.architecture,
        "d_in": foreign.dictionary.d_in,
        "d_sae": foreign.dictionary.d_sae,
        "k": foreign.dictionary.k,
        "tokens_trained": None,
        "imported": {
            "format": recipe.format,
            "name": path.name,
            "form": foreign.dictionary.form,
            "files": sha256,
            "config": dict(foreign.config),
        },
    }
    described = {**provenance, **facts, "normalisation": {"kind": "none", "scale": 1.0}, "quality": measured.quality}
    weights_id = save_dictionary(measured.dictionary, folder, described, measured.density)
    dictionary_id = imported_id(weights_id, recipe.format, sha256, activation_set.site)
    return BuiltDictionary(dictionary_id, folder, facts, measured.quality, measured.loss_groups, history=[])
