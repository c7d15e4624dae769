"""Local files as a corpus: txt, md, py, jsonl, parquet, png and jpg.

Each file makes shards of its own, numbered by the hash of its path: a new, changed or deleted file leaves the others'
shards as they are. A table is the better home for many small texts or pictures. Text and code are cut into documents
of about 200 words, a row of a table is one document.
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
from sae.corpora.named_pictures import named_pictures
from sae.corpora.rows import row_document
from sae.errors import AtlasError
from sae.identity import bytes_id, content_id, file_sha256_once
from sae.models.pictures import to_png

_PART_BYTES = 64 * 2**20
"""A larger file makes several shards, so that the memory a shard takes is bounded."""
_TEXT = {".txt": ("und", "text"), ".md": ("und", "text"), ".py": ("py", "code")}
_HEX_DIGITS, _DIGITS = 10, 13
"""Digits of a shard's number: 40 bits, so that two of ten thousand files have one number in 20,000 such corpora."""
_KINDS = (*_TEXT, ".jsonl", ".parquet", ".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class _Part:
    """One shard: those documents of a file whose hash falls to `part` of `parts`; it may be none."""

    path: Path
    content: str
    """Hash of the file, and of the pictures that it names."""
    part: int
    parts: int


def list_files(name: str, config: CorpusConfig, base: Path) -> dict[str, str]:
    """Shards and their versions, which follow each file's content; of equal files the first by path counts.

    Where the corpus is bounded the number of its shards counts too, since it is shared out among them.
    """
    options = [config.text, config.language, config.image, config.documents, config.tokens]
    parts = _parts(config, base)
    shares = len(parts) if config.documents or config.tokens else None
    versions: dict[str, str] = {}
    for number, part in parts.items():
        content = [part.path.name, part.content, part.part, part.parts]
        versions[f"{name}-{number:0{_DIGITS}d}"] = content_id([content, options, shares])
    return versions


def read_files(name: str, config: CorpusConfig, number: int, base: Path) -> pl.DataFrame:
    """The documents of the shard of that number, each once.

    Raises AtlasError naming the file that is missing, empty, not UTF-8, corrupt, or without the column.
    """
    parts = _parts(config, base)
    if (wanted := parts.get(number)) is None:
        raise AtlasError(f"The corpus {name} has no shard {number:0{_DIGITS}d}: no file makes it any more.")
    own: list[Document] = []
    empty = True
    for document in _read(wanted.path, config):
        empty = False
        if int(document_id(name, document.text, document.image), 16) % wanted.parts == wanted.part:
            own.append(document)
    if empty:
        raise AtlasError(f"{wanted.path} holds no document. Take it out of the corpus {name}, or fill it.")
    return documents_table(name, f"{name}-{number:0{_DIGITS}d}", _within_budget(own, config, len(parts)))


def _parts(config: CorpusConfig, base: Path) -> dict[int, _Part]:
    paths = {_content(path, config): path for path in reversed(_paths(config, base))}
    least = -(-config.shards // len(paths))
    parts: dict[int, _Part] = {}
    for content, path in reversed(paths.items()):
        count = max(least, -(-path.stat().st_size // _PART_BYTES))
        place = path.as_posix().removeprefix(f"{base.as_posix()}/")
        for part in range(count):
            number = int(bytes_id(f"{place}|{part}".encode())[:_HEX_DIGITS], 16)
            if number in parts:
                raise AtlasError(f"{path} and {parts[number].path} make shards of one name. Rename one of them.")
            parts[number] = _Part(path, content, part, count)
    return parts


def _content(path: Path, config: CorpusConfig) -> str:
    own = file_sha256_once(path)
    named = named_pictures(path, config.image, own) if config.image else ()
    # One that is missing is told of when the shard is read, which is anew as soon as it is there.
    pictures = [[name, file_sha256_once(path.parent / name)] for name in named if (path.parent / name).is_file()]
    return content_id([own, pictures]) if pictures else own


def _paths(config: CorpusConfig, base: Path) -> list[Path]:
    found: set[str] = set()
    for pattern in config.paths:
        # The base folder's own name is no pattern, whatever characters it has.
        matches = glob.glob(str(Path(pattern).expanduser()), root_dir=base, recursive=True)
        files = {str(match) for name in matches if (match := base / name).is_file()}
        if not files:
            raise AtlasError(f"No file matches {pattern!r} (relative paths start at {base}).")
        found |= files
    for path in sorted(found):
        if not path.lower().endswith(_KINDS):
            raise AtlasError(f"{path}: files of this kind are not read. Known kinds: {', '.join(_KINDS)}.")
    return [Path(path) for path in sorted(found)]


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
