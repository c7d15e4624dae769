"""Local files as a corpus: txt, md, py, jsonl, parquet, png and jpg.

Each file makes shards of its own, in the order of the paths; a table is the better home for many small texts or
pictures. Text and code are cut into documents of about 200 words, a row of a table is one document.
"""

import glob
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from sae.config import CorpusConfig
from sae.corpora.chunks import chunk_text, count_words
from sae.corpora.documents import IMAGE_MARK, Document, document_id, documents_table
from sae.corpora.rows import row_document
from sae.errors import AtlasError
from sae.identity import content_id, file_sha256
from sae.models.pictures import to_png

_PART_BYTES = 64 * 2**20
"""A larger file makes several shards, so that the memory a shard takes is bounded."""
_TEXT = {".txt": ("und", "text"), ".md": ("und", "text"), ".py": ("py", "code")}
_KINDS = (*_TEXT, ".jsonl", ".parquet", ".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class _Part:
    """One shard: those documents of a file whose hash falls to `part` of `parts`."""

    path: Path
    part: int
    parts: int


def list_files(name: str, config: CorpusConfig, base: Path) -> dict[str, str]:
    """Shards and their versions, which follow the files' contents and order."""
    options = [config.text, config.language, config.image, config.documents, config.tokens]
    versions: dict[str, str] = {}
    hashes: list[str] = []
    for index, part in enumerate(_parts(config, base)):
        if part.part == 0:
            hashes.append(file_sha256(part.path))
        # Earlier files count too: what they hold already is left out here.
        versions[f"{name}-{index:05d}"] = content_id([part.path.name, part.part, part.parts, hashes, options])
    return versions


def read_files(name: str, config: CorpusConfig, index: int, base: Path) -> pl.DataFrame:
    """The documents of shard `index`; one that an earlier shard holds is left out.

    Raises AtlasError naming the file that is missing, empty, not UTF-8, corrupt, or without the column.
    """
    parts = _parts(config, base)
    wanted = parts[index]
    earlier = list(dict.fromkeys(part.path for part in parts[:index] if part.path != wanted.path))
    seen = {document_id(name, d.text, d.image) for path in earlier for d in _read(path, config)}
    own: list[Document] = []
    empty = True
    for document in _read(wanted.path, config):
        empty = False
        key = document_id(name, document.text, document.image)
        part = int(key, 16) % wanted.parts
        if part == wanted.part and key not in seen:
            own.append(document)
    if empty:
        raise AtlasError(f"{wanted.path} holds no document. Take it out of the corpus {name}, or fill it.")
    return documents_table(name, f"{name}-{index:05d}", _within_budget(own, config, len(parts)))


def _parts(config: CorpusConfig, base: Path) -> list[_Part]:
    paths = _paths(config, base)
    least = -(-config.shards // len(paths))
    counted = [(path, max(least, -(-path.stat().st_size // _PART_BYTES))) for path in paths]
    return [_Part(path, part, parts) for path, parts in counted for part in range(parts)]


def _paths(config: CorpusConfig, base: Path) -> list[Path]:
    found: set[Path] = set()
    for pattern in config.paths:
        full = Path(pattern).expanduser()
        matches = glob.glob(str(full if full.is_absolute() else base / full), recursive=True)
        files = {Path(match) for match in matches if Path(match).is_file()}
        if not files:
            raise AtlasError(f"No file matches {pattern!r} (relative paths start at {base}).")
        found |= files
    if not found:
        raise AtlasError("A corpus of files needs `paths`: glob patterns of the files to read.")
    for path in sorted(found):
        if path.suffix.lower() not in _KINDS:
            raise AtlasError(f"{path}: files of this kind are not read. Known kinds: {', '.join(_KINDS)}.")
    return sorted(found)


def _read(path: Path, config: CorpusConfig) -> Iterator[Document]:
    kind = path.suffix.lower()
    if kind in _TEXT:
        language, modality = _TEXT[kind]
        text = _decode(path.read_bytes(), str(path))
        yield from (Document(chunk, language, modality, source=path.name) for chunk in chunk_text(text))
    elif kind in (".jsonl", ".parquet"):
        for number, row in _json_rows(path) if kind == ".jsonl" else _parquet_rows(path, config):
            document = row_document(row, config, path.name, f"{path} row {number}", path.parent)
            if document is not None:
                yield document
    else:
        yield Document(IMAGE_MARK, modality="image", image=to_png(path.read_bytes(), str(path)), source=path.name)


def _json_rows(path: Path) -> Iterator[tuple[int, dict]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(_decode(line, f"{path} line {number}"))
            except json.JSONDecodeError as error:
                raise AtlasError(f"{path} line {number} is not JSON: {error.msg} at column {error.colno}.") from error
            if not isinstance(row, dict):
                raise AtlasError(f"{path} line {number}: an object with columns is wanted.")
            yield number, row


def _parquet_rows(path: Path, config: CorpusConfig) -> Iterator[tuple[int, dict]]:
    try:
        file = pq.ParquetFile(path)
        wanted = [config.text, config.language, config.image]
        names = set(file.schema_arrow.names)
        columns = [column for column in wanted if column in names] or None
        number = 0
        for batch in file.iter_batches(batch_size=1024, columns=columns):
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except (pa.ArrowException, OSError) as error:
        raise AtlasError(f"{path} is no Parquet file that can be read: {' '.join(str(error).split())[:200]}") from error


def _decode(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AtlasError(f"{where}: not UTF-8 (byte {error.start}). Save the file as UTF-8.") from error


def _within_budget(documents: list[Document], config: CorpusConfig, shards: int) -> Iterator[Document]:
    """Each shard may hold its share of the corpus's bounds."""
    most_words = None if config.tokens is None else -(-config.tokens // shards)
    most = None if config.documents is None else -(-config.documents // shards)
    words = 0
    for number, document in enumerate(documents):
        if number == most or (most_words is not None and words >= most_words):
            return
        words += count_words(document.text)
        yield document
