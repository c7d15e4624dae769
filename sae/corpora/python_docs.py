"""The Python that runs this as a corpus: language reference, docstrings and source code of the standard library."""

import ast
import inspect
import random
import sys
import sysconfig
import tokenize
from collections.abc import Iterator
from itertools import islice, zip_longest
from pathlib import Path

import polars as pl

from sae.config import CorpusConfig
from sae.corpora import chunks
from sae.corpora.chunks import SHARD_WORDS, chunk_text, count_words
from sae.corpora.documents import Document, documents_table
from sae.errors import AtlasError
from sae.identity import content_id, file_sha256

_SKIPPED = {"test", "tests", "idle_test", "site-packages", "dist-packages", "lib2to3", "pydoc_data", "__pycache__"}
_SHORTEST_DOCSTRING = 12
"""Words; shorter ones repeat the name they stand under."""
_ROUND = 24
"""Documents taken from one module or topic before the next one's turn: a small corpus still sees many modules."""


def list_python_docs(name: str, config: CorpusConfig, seed: int) -> dict[str, str]:
    """Shards and their versions: what the Python, the budget, the seed and this program's cutting decide."""
    count = shard_count(config)
    made_of = [*_made_of(), config.tokens, config.documents, count, seed]
    return {f"{name}-{index:05d}": content_id([*made_of, index]) for index in range(count)}


def read_python_docs(name: str, config: CorpusConfig, seed: int, index: int) -> pl.DataFrame:
    """The documents of shard `index`.

    Modules and topics are dealt to the shards whole, in an order that the seed decides, so that a held-out shard holds
    other modules than the train shards; and a document that stands in two of them belongs to the first.
    Raises AtlasError when the standard library's source is not there.
    """
    count = shard_count(config)
    words = 0
    kept: list[Document] = []
    for number, (unit, document) in enumerate(_once(_units(seed))):
        if number == config.documents or (config.tokens is not None and words >= config.tokens):
            break
        words += count_words(document.text)
        if unit % count == index:
            kept.append(document)
    return documents_table(name, f"{name}-{index:05d}", kept)


def python_texts(seed: int, words: int) -> Iterator[str]:
    """The texts of all shards in the seed's order, each once, until they hold `words` words together, or run out."""
    left = words
    for _, document in _once(_units(seed)):
        if left <= 0:
            return
        left -= count_words(document.text)
        yield document.text


def texts_version(seed: int) -> str:
    """The hash of what decides `python_texts`: the Python, the seed and this program's cutting."""
    return content_id([*_made_of(), seed])


def shard_count(config: CorpusConfig) -> int:
    """As many shards as the config says, or more, so that none grows without bound."""
    return max(config.shards, -(-(config.tokens or 0) // SHARD_WORDS))


def _made_of() -> list[object]:
    return [sys.version, [file_sha256(Path(str(module.__file__))) for module in (sys.modules[__name__], chunks)]]


def _units(seed: int) -> list[Path | str]:
    """Source files and documentation topics in the seed's order."""
    root = Path(sysconfig.get_path("stdlib"))
    files = sorted(path for path in root.rglob("*.py") if not _SKIPPED & set(path.relative_to(root).parts))
    if not files:
        raise AtlasError("This Python comes without the source of its standard library: install it to use python_docs.")
    from pydoc_data.topics import topics

    units: list[Path | str] = [*files, *sorted(topics)]
    random.Random(seed).shuffle(units)
    return units


def _once(units: list[Path | str]) -> Iterator[tuple[int, Document]]:
    """Unit number and document, in rounds; a text that stands in several belongs to the first."""
    seen: set[str] = set()
    for unit, document in _in_rounds(units):
        if document.text not in seen:
            seen.add(document.text)
            yield unit, document


def _in_rounds(units: list[Path | str]) -> Iterator[tuple[int, Document]]:
    """Unit number and document: some of each unit, then the next ones of each, until none has any left."""
    waiting = [(n, _topic_documents(u) if isinstance(u, str) else _module_documents(u)) for n, u in enumerate(units)]
    while waiting:
        unfinished = []
        for number, documents in waiting:
            taken = list(islice(documents, _ROUND))
            yield from ((number, document) for document in taken)
            if len(taken) == _ROUND:
                unfinished.append((number, documents))
        waiting = unfinished


def _topic_documents(topic: str) -> Iterator[Document]:
    from pydoc_data.topics import topics

    return (Document(text, "en", source=f"topic {topic}", topic="reference") for text in chunk_text(topics[topic]))


def _module_documents(path: Path) -> Iterator[Document]:
    """Docstrings and source of a module, by turns; it is read when its first document is asked for."""
    parts = path.relative_to(sysconfig.get_path("stdlib")).with_suffix("").parts
    module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    with tokenize.open(path) as file:
        source = file.read()
    code = (Document(text, "py", "code", source=module, topic="source") for text in chunk_text(source))
    prose = (
        Document(text, "en", source=name, topic="docstring")
        for name, docstring in _docstrings(ast.parse(source), module)
        for text in chunk_text(docstring)
        if count_words(text) >= _SHORTEST_DOCSTRING
    )
    for pair in zip_longest(prose, code):
        yield from (document for document in pair if document is not None)


def _docstrings(node: ast.AST, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        if docstring := ast.get_docstring(node, clean=False):
            yield name, inspect.cleandoc(docstring)
        for child in node.body:
            yield from _docstrings(child, f"{name}.{getattr(child, 'name', '')}")
