"""Building the search index of a catalog: one tantivy document a feature."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import tantivy

from sae.catalog.search_text import index_terms
from sae.catalog.versions import search_folder
from sae.labels.current import current_labels
from sae.storage import Store

MIN_CONCEPT_F1 = 0.5
"""A feature is found by a concept's name when it finds the concept at least so well."""
FIELD_WEIGHTS = {"label": 4.0, "concepts": 3.0, "top_tokens": 2.0, "explanation": 1.0, "languages": 0.5}
"""The searched fields and what a match in each counts."""
_HEAP_BYTES = 50_000_000


def build_search_index(store: Store, version: str, tables: Mapping[str, pl.DataFrame]) -> None:
    """Write `catalog/search-<version>/` from the frames of features, labels and reviews, concepts and their scores."""
    folder = search_folder(version)
    for left_over in store.files_in(folder):
        store.delete(left_over)
    with tempfile.TemporaryDirectory() as built:
        _write_index(Path(built), searched_features(tables))
        for file in sorted(Path(built).iterdir()):
            if not file.name.endswith(".lock"):
                store.write_bytes(f"{folder}/{file.name}", file.read_bytes())


def searched_features(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """One row a feature: feature_id, dictionary_id, index, label, explanation, top_tokens, languages, concepts."""
    features = tables["features"]
    current = current_labels(*(tables[name] for name in ("labels", "label_reviews", "label_renewals")))
    current = current.select("feature_id", "label", "explanation")
    known = (
        tables["concept_scores"]
        .filter(pl.col("f1") >= MIN_CONCEPT_F1)
        .join(tables["concepts"], on="concept_id")
        .group_by("feature_id")
        .agg(concepts=pl.col("name").unique().sort())
    )
    return (
        features.select("feature_id", "dictionary_id", "index", "top_tokens", "languages")
        .join(current, on="feature_id", how="left")
        .join(known, on="feature_id", how="left")
        .with_columns(
            pl.col("label", "explanation").fill_null(""),
            pl.col("concepts").fill_null([]),
            languages=pl.col("languages").list.eval(pl.element().struct.field("key")),
        )
        .sort("dictionary_id", "index")
    )


def search_schema() -> tantivy.Schema:
    """Terms are made by `search_text`, so that tantivy only splits at spaces."""
    builder = tantivy.SchemaBuilder()
    for name in ("feature_id", "dictionary_id"):
        builder.add_text_field(name, stored=True, tokenizer_name="raw", index_option="basic")
    for name in FIELD_WEIGHTS:
        builder.add_text_field(name, tokenizer_name="whitespace")
    builder.add_text_field("shown", stored=True, tokenizer_name="raw", index_option="basic")
    return builder.build()


def _write_index(folder: Path, features: pl.DataFrame) -> None:
    index = tantivy.Index(search_schema(), path=str(folder))
    # One thread: equal features give equal segments.
    writer = index.writer(heap_size=_HEAP_BYTES, num_threads=1)
    for row in features.iter_rows(named=True):
        shown = {name: row[name] for name in ("index", "label", "explanation", "top_tokens")}
        document = tantivy.Document(
            feature_id=row["feature_id"],
            dictionary_id=row["dictionary_id"],
            shown=json.dumps(shown, ensure_ascii=False),
        )
        for name in FIELD_WEIGHTS:
            value = row[name]
            document.add_text(name, index_terms(value if isinstance(value, str) else " ".join(value)))
        writer.add_document(document)
    writer.commit()
    writer.wait_merging_threads()
