"""Ground truth by position: from mentions as character spans to the activation rows that hold them.

Units: a *mention* is one span that names a concept (a name, or a picture's mark) and covers the positions whose own
span overlaps it. A document *names* a concept when it has a mention of it; only documents that do not name a concept
can contradict its feature, because what follows a name may rightly carry it on.

Slices: a position's slice is `image`, `code`, or the language of its document. A mention's is that of its first
position, but the language of a name is its own where a table of names gives it: a Spanish name in an English sentence
belongs to `es`, so that a feature blind to Spanish names cannot hide among the other names in Spanish sentences.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.sparse import coo_array, csr_array

from sae.errors import AtlasError

ALL = "all"
IMAGE = "image"
CODE = "code"


@dataclass(frozen=True, eq=False)
class Truth:
    """n activation rows of D documents with M mentions of C concepts."""

    concepts: list[str]
    """Concept ids [C], sorted: those with a mention."""
    readable: np.ndarray
    """bool [n]: rows that are neither special tokens nor massive activations; the others never count as firing."""
    row_document: np.ndarray
    """int64 [n]: index of the row's document."""
    row_slice: np.ndarray
    """str [n]: `image`, `code`, or the row's language."""
    cover: csr_array
    """bool [M, n]: the rows of each mention."""
    mention_concept: np.ndarray
    """int64 [M]."""
    mention_document: np.ndarray
    """int64 [M]."""
    mention_slice: np.ndarray
    """str [M]."""
    naming: csr_array
    """bool [C, D]: whether the document names the concept."""
    choosing: np.ndarray
    """bool [D]: the half of the documents on which features are chosen; the other half scores them."""


NAMES = pl.Schema({"concept_id": pl.String, "name": pl.String, "language": pl.String})
"""What a concept is called; a name that several languages share has a row for each, the preferred one first."""


def build_truth(documents: pl.DataFrame, tokens: pl.DataFrame, seed: int, names: pl.DataFrame | None = None) -> Truth:
    """Join DOCUMENTS.mentions to TOKENS rows (row i of `tokens` is activation row i).

    With `names` (schema `NAMES`) a mention whose text is a name counts for that name's language: the document's own
    where it is a name there too, else the first in the table. Mentions of which no row is there are left out.
    Raises AtlasError when a row's document is missing.
    """
    documents = documents.unique("document_id", keep="first", maintain_order=True)
    name_languages = _name_languages(documents, NAMES.to_frame() if names is None else names)
    order = documents.select("document_id").with_row_index("document")
    rows = tokens.with_row_index("row").join(order, on="document_id", how="left", maintain_order="left")
    if rows["document"].null_count():
        missing = rows.filter(pl.col("document").is_null())["document_id"][0]
        raise AtlasError(f"Document {missing} has activations but is not among the documents given.")
    rows = rows.with_columns(slice=_slice_of_row())
    mentions = (
        documents.with_row_index("document")
        .explode("mentions", empty_as_null=True)
        .drop_nulls("mentions")
        .select("document", pl.col("mentions").struct.unnest())
        .with_row_index("mention")
        .join(name_languages, on=["document", "concept_id", "start", "end"], how="left", maintain_order="left")
    )
    held = (
        mentions.join(
            rows.select("row", "document", "slice", "special", row_start="start", row_end="end"), on="document"
        )
        .filter(~pl.col("special") & (pl.col("row_start") < pl.col("end")) & (pl.col("row_end") > pl.col("start")))
        .sort("mention", "row")
    )
    placed = (
        held.group_by("mention", maintain_order=True)
        .agg(pl.col("concept_id", "document", "slice", "name_language").first())
        .with_columns(
            slice=pl.when(pl.col("slice").is_in([IMAGE, CODE]))
            .then("slice")
            .otherwise(pl.coalesce("name_language", "slice"))
        )
    )
    concepts = mentions["concept_id"].unique().sort().to_list()
    number = {concept: index for index, concept in enumerate(concepts)}
    place = np.full(len(mentions), -1, dtype=np.int64)
    place[placed["mention"].to_numpy()] = np.arange(len(placed))
    naming = _incidence(
        _numbers(mentions["concept_id"], number), mentions["document"].to_numpy(), (len(concepts), len(documents))
    )
    return Truth(
        concepts=concepts,
        readable=(~(tokens["special"] | tokens["massive"])).to_numpy(),
        row_document=rows["document"].to_numpy().astype(np.int64),
        row_slice=rows["slice"].to_numpy(),
        cover=_incidence(place[held["mention"].to_numpy()], held["row"].to_numpy(), (len(placed), len(tokens))),
        mention_concept=_numbers(placed["concept_id"], number),
        mention_document=placed["document"].to_numpy().astype(np.int64),
        mention_slice=placed["slice"].to_numpy(),
        naming=naming,
        choosing=np.array([_half(document_id, seed) for document_id in order["document_id"]], dtype=bool),
    )


def _name_languages(documents: pl.DataFrame, names: pl.DataFrame) -> pl.DataFrame:
    """document, concept_id, start, end, name_language of the mentions whose text is a name of their concept."""
    mentioned = (
        documents.with_row_index("document")
        .select("document", "mentions", document_language="language", text="text")
        .explode("mentions", empty_as_null=True)
        .drop_nulls("mentions")
        .unnest("mentions")
        .with_columns(name=pl.col("text").str.slice(pl.col("start"), pl.col("end") - pl.col("start")))
    )
    matches = mentioned.join(names.with_row_index("preference"), on=["concept_id", "name"])
    own_first = matches.sort(pl.col("language") != pl.col("document_language"), "preference", maintain_order=True)
    key = ["document", "concept_id", "start", "end"]
    return own_first.unique(key, keep="first").select(*key, name_language="language")


def _slice_of_row() -> pl.Expr:
    return (
        pl.when(pl.col("modality").is_in([IMAGE, CODE])).then(pl.col("modality")).otherwise(pl.col("language"))
    ).cast(pl.String)


def _incidence(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> csr_array:
    """bool [shape]: True at each (row, column), repeated ones once."""
    entries = (np.ones(len(rows), dtype=bool), (rows.astype(np.int64), columns.astype(np.int64)))
    return csr_array(coo_array(entries, shape=shape))


def _numbers(values: pl.Series, number: dict[str, int]) -> np.ndarray:
    return np.array([number[value] for value in values], dtype=np.int64)


def _half(document_id: str, seed: int) -> bool:
    return hashlib.sha256(f"{seed}|{document_id}".encode()).digest()[0] < 128
