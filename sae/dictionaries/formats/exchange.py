"""A dictionary from a file of any of the field's formats, and into one."""

from collections.abc import Callable, Mapping
from pathlib import Path

from sae.config.imported import Format
from sae.dictionaries.dictionary import Dictionary
from sae.dictionaries.formats.dictionary_learning import read_dictionary_learning, write_dictionary_learning
from sae.dictionaries.formats.files import source_files
from sae.dictionaries.formats.gemma_scope import read_gemma_scope, write_gemma_scope
from sae.dictionaries.formats.reading import ForeignDictionary
from sae.dictionaries.formats.saelens import read_saelens
from sae.dictionaries.formats.sparsify import read_sparsify, write_sparsify
from sae.dictionaries.formats.writing import whole_folder
from sae.dictionaries.layout import write_saelens

_READERS: Mapping[Format, Callable[[Mapping[str, Path]], ForeignDictionary]] = {
    "saelens": read_saelens,
    "sparsify": read_sparsify,
    "dictionary_learning": read_dictionary_learning,
    "gemma_scope": read_gemma_scope,
}
_WRITERS: Mapping[Format, Callable[[Dictionary, Path], None]] = {
    "saelens": write_saelens,
    "sparsify": write_sparsify,
    "dictionary_learning": write_dictionary_learning,
    "gemma_scope": write_gemma_scope,
}


def read_dictionary(kind: Format, path: Path) -> ForeignDictionary:
    """Open a folder, or a file of weights, in a format.

    Its codes are those of the library that wrote it, in float32, over raw activations. Nothing is unpickled but
    tensors. Raises AtlasError on missing or damaged files, and on arithmetic that a `Dictionary` does not have.
    """
    return _READERS[kind](source_files(kind, path))


def write_dictionary(kind: Format, dictionary: Dictionary, folder: Path) -> None:
    """Make `folder`, with the dictionary in a format; either all of it stands there or nothing.

    Raises AtlasError where the folder exists, cannot be made, or the format has no such dictionary.
    """
    with whole_folder(folder) as building:
        _WRITERS[kind](dictionary, building)
