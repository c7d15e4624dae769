"""Which files each format is made of, and their content's id. Opens nothing, so it needs no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sae.config.imported import Format
from sae.errors import AtlasError
from sae.identity import content_id, file_sha256_once


@dataclass(frozen=True)
class Layout:
    """A format's files by the names that it gives them in a folder."""

    weights: str
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


LAYOUTS: Mapping[Format, Layout] = {
    "saelens": Layout(
        "sae_weights.safetensors", ("cfg.json",), ("activation_scaler.json", "activation_whitening.safetensors")
    ),
    "sparsify": Layout("sae.safetensors", ("cfg.json",)),
    "dictionary_learning": Layout("ae.pt", optional=("config.json",)),
    "gemma_scope": Layout("params.npz"),
}


def source_files(kind: Format, path: Path) -> dict[str, Path]:
    """The files of a dictionary by their names in the format: `path` is its folder, or its file of weights.

    Weights of another name (`ae_10000.pt`, `params_l0_82.npz`) can be given as a file; the format's other files lie
    beside it. Raises AtlasError where a file is missing.
    """
    layout = LAYOUTS[kind]
    if path.is_file():
        if path.suffix != Path(layout.weights).suffix:
            raise AtlasError(f"{path} is no {Path(layout.weights).suffix} file, as {kind} writes. Name its folder.")
        folder, weights = path.parent, path
    else:
        folder, weights = path, path / layout.weights
    wanted = {layout.weights: weights} | {name: folder / name for name in layout.required}
    for name, file in wanted.items():
        if not file.is_file():
            raise AtlasError(f"{path} holds no {name}, which a dictionary in the format {kind} has.")
    return wanted | {name: folder / name for name in layout.optional if (folder / name).is_file()}


def files_id(files: Mapping[str, Path]) -> str:
    """Id of the files' contents under their names in the format, wherever they lie."""
    return content_id(hashes(files))


def hashes(files: Mapping[str, Path]) -> dict[str, str]:
    """SHA-256 of each file, by its name in the format."""
    return {name: file_sha256_once(file) for name, file in sorted(files.items())}


def imported_id(weights_id: str, kind: Format, sha256: Mapping[str, str], site: str) -> str:
    """Id of an imported dictionary: its weights' id, the `hashes` of its files, and the site that it reads.

    The same weights at another site have other features; and a dictionary that was exported here and comes back is
    another one than the first, so that both can stand in a catalog.
    """
    return content_id([weights_id, kind, content_id(sha256), site])


def neurons_id(weights_id: str, site: str, model_id: str) -> str:
    """Id of a site's neurons as a dictionary: its weights, the identity, say nothing of what they read."""
    return content_id([weights_id, "neurons", site, model_id])
