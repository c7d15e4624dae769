"""Rows of a table (JSON lines, Parquet, a data set) as documents, by the columns that the config names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from sae.config import CorpusConfig
from sae.corpora.documents import IMAGE_MARK, Document
from sae.errors import AtlasError
from sae.models.pictures import encode_picture, to_png


def row_document(
    row: Mapping[str, Any], config: CorpusConfig, source: str, where: str, folder: Path
) -> Document | None:
    """The document of a row, None for one without text or picture.

    A picture is given as bytes, as a path relative to `folder`, or as a decoded image; a text that does not say where
    its picture stands gets the mark in front. `where` names the row in errors.
    Raises AtlasError on a missing column, a text that is no string, a corrupt or missing picture.
    """
    text = _cell(row, config.text, where)
    if text is not None and not isinstance(text, str):
        raise AtlasError(f"{where}: column {config.text!r} holds {type(text).__name__}, a text is wanted.")
    text = text or ""
    language = _cell(row, config.language, where) if config.language else None
    picture = _cell(row, config.image, where) if config.image else None
    if picture is None:
        return Document(text, str(language or "und"), source=source) if text.strip() else None
    image = _png(picture, where, folder)
    if IMAGE_MARK not in text:
        text = f"{IMAGE_MARK} {text}".rstrip()
    return Document(text, str(language or "und"), "image", image, source=source)


def _cell(row: Mapping[str, Any], column: str, where: str) -> Any:
    if column not in row:
        raise AtlasError(f"{where}: no column {column!r}. It has: {', '.join(sorted(map(str, row)))}.")
    return row[column]


def _png(picture: Any, where: str, folder: Path) -> bytes:
    if isinstance(picture, Image.Image):
        import numpy as np

        return encode_picture(np.asarray(picture.convert("RGB")))
    if isinstance(picture, Mapping):
        picture = picture.get("bytes") or picture.get("path")
    if isinstance(picture, bytes):
        return to_png(picture, where)
    if isinstance(picture, str):
        path = folder / picture
        if not path.is_file():
            raise AtlasError(f"{where}: the picture {picture!r} does not exist in {folder}.")
        return to_png(path.read_bytes(), f"{where} ({picture})")
    raise AtlasError(f"{where}: a picture is given as bytes or a path, found {type(picture).__name__}.")
