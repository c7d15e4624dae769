"""Documents: what every corpus adapter makes, and the table they become."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import polars as pl

from sae.identity import bytes_id, content_id

IMAGE_MARK = "<image>"
"""Stands in a text where its picture is."""

DOCUMENTS = pl.Schema(
    {
        "document_id": pl.String,
        "corpus": pl.String,
        "shard": pl.String,
        "language": pl.String,
        "modality": pl.String,
        "text": pl.String,
        "image": pl.Binary,
        "source": pl.String,
        "topic": pl.String,
        "split": pl.String,
        "mentions": pl.List(pl.Struct({"concept_id": pl.String, "start": pl.Int32, "end": pl.Int32})),
    }
)
"""`language` is an ISO code, `py` for Python, `und` where unknown; `modality` text, code, or image for a document that
holds a picture; `image` PNG bytes; `mentions` are stretches of the text, in characters, known to name a concept."""


@dataclass(frozen=True)
class Document:
    """One document of a corpus."""

    text: str
    language: str = "und"
    modality: str = "text"
    image: bytes | None = None
    """PNG."""
    source: str = ""
    topic: str = ""
    split: str = ""
    mentions: list[dict[str, str | int]] = field(default_factory=list)


def document_id(corpus: str, text: str, image: bytes | None) -> str:
    """Equal documents of one corpus are one document."""
    return content_id([corpus, text, None if image is None else bytes_id(image)])


def documents_table(corpus: str, shard: str, documents: Iterable[Document]) -> pl.DataFrame:
    """The table of a shard, with the schema `DOCUMENTS`. A document that comes again is dropped."""
    rows: dict[str, Document] = {}
    for document in documents:
        rows.setdefault(document_id(corpus, document.text, document.image), document)
    return pl.DataFrame(
        [
            {"document_id": key, "corpus": corpus, "shard": shard, **{name: getattr(d, name) for name in _OWN}}
            for key, d in rows.items()
        ],
        schema=DOCUMENTS,
    )


_OWN = [name for name in DOCUMENTS.names() if name not in ("document_id", "corpus", "shard")]
