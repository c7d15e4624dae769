"""Searching features by words: BM25, beginnings of words, and small misspellings."""

import json

import polars as pl
import tantivy
from tantivy import Occur, Query

from sae.catalog.query import Catalog, open_catalog
from sae.catalog.search_index import FIELD_WEIGHTS
from sae.catalog.search_text import is_cjk, pairs, split_words
from sae.catalog.versions import search_folder
from sae.errors import AtlasError
from sae.storage import Store

MOST_WORDS = 24
"""Words of a query that count; the rest is left out."""
RESULT_SCHEMA = pl.Schema(
    {
        "feature_id": pl.String,
        "dictionary_id": pl.String,
        "index": pl.Int32,
        "label": pl.String,
        "explanation": pl.String,
        "top_tokens": pl.List(pl.String),
        "score": pl.Float64,
    }
)
_BEGINNING = 0.5
_MISSPELT = 0.2
_PART_OF_RUN = 0.3
_FEATURE_ID = 100.0


def search(catalog: Catalog, text: str, limit: int = 20, dictionary_id: str | None = None) -> pl.DataFrame:
    """The features that match a text best, by score (BM25 plus a little for beginnings and misspellings).

    Searches labels, explanations, top tokens, languages, concept names and feature ids; columns as in RESULT_SCHEMA.
    The text is split into words and never parsed as a query language: no character in it has a meaning of its own.
    Raises AtlasError where the index is missing or damaged.
    """
    searcher, schema = _open(catalog)
    query = build_query(schema, text)
    if dictionary_id is not None:
        inside = Query.const_score_query(Query.term_query(schema, "dictionary_id", dictionary_id, "basic"), 0.0)
        query = Query.boolean_query([(Occur.Must, query), (Occur.Must, inside)])
    if limit < 1:
        return pl.DataFrame(schema=RESULT_SCHEMA)
    rows = []
    for score, address in searcher.search(query, limit).hits:
        document = searcher.doc(address)
        shown = json.loads(str(document.get_first("shown")))
        named = {name: document.get_first(name) for name in ("feature_id", "dictionary_id")}
        rows.append({**named, **shown, "score": score})
    return pl.DataFrame(rows, schema=RESULT_SCHEMA)


def search_catalog(store: Store, text: str, limit: int = 20, version: str | None = None) -> pl.DataFrame:
    """`search` in a version of the store's catalog, the current one by default, opened for this one question."""
    with open_catalog(store, version) as catalog:
        return search(catalog, text, limit)


def build_query(schema: tantivy.Schema, text: str) -> Query:
    """Any word may match in any field; a document that holds more of the words, in better fields, scores higher."""
    parts: list[tuple[Occur, Query]] = []
    for name in text.split()[:MOST_WORDS]:
        if ":" in name:
            exact = Query.term_query(schema, "feature_id", name, "basic")
            parts.append((Occur.Should, Query.boost_query(exact, _FEATURE_ID)))
    if len(text.strip()) >= 4 and not any(character.isspace() for character in text.strip()):
        beginning = Query.fuzzy_term_query(schema, "feature_id", text.strip(), distance=0, prefix=True)
        parts.append((Occur.Should, beginning))
    for word in split_words(text)[:MOST_WORDS]:
        parts += [(Occur.Should, _word_query(schema, field, word)) for field in FIELD_WEIGHTS]
    return Query.boolean_query(parts) if parts else Query.empty_query()


def _word_query(schema: tantivy.Schema, field: str, word: str) -> Query:
    matches = _cjk_matches(schema, field, word) if is_cjk(word) else _word_matches(schema, field, word)
    return Query.boost_query(Query.boolean_query([(Occur.Should, match) for match in matches]), FIELD_WEIGHTS[field])


def _word_matches(schema: tantivy.Schema, field: str, word: str) -> list[Query]:
    """The word itself scores by BM25; what only begins with it, or is misspelt, by a constant far below."""
    matches = [Query.term_query(schema, field, word)]
    if len(word) >= 2:
        beginning = Query.fuzzy_term_query(schema, field, word, distance=0, prefix=True)
        matches.append(Query.boost_query(beginning, _BEGINNING))
    if len(word) >= 4:
        misspelt = Query.fuzzy_term_query(schema, field, word, distance=1 if len(word) < 8 else 2)
        matches.append(Query.boost_query(misspelt, _MISSPELT))
    return matches


def _cjk_matches(schema: tantivy.Schema, field: str, word: str) -> list[Query]:
    """A run is found as a part of a longer one; for longer runs most of the pairs are enough, for a little less."""
    if len(word) == 1:
        return [Query.fuzzy_term_query(schema, field, word, distance=0, prefix=True)]
    terms = pairs(word)[:-1]
    if len(terms) == 1:
        return [Query.term_query(schema, field, terms[0])]
    matches = [Query.phrase_query(schema, field, list(terms))]
    if len(terms) >= 3:
        anywhere = [(Occur.Should, Query.term_query(schema, field, term)) for term in terms]
        enough = Query.boolean_query(anywhere, minimum_number_should_match=-(-len(terms) * 2 // 3))
        matches.append(Query.boost_query(enough, _PART_OF_RUN))
    return matches


def _open(catalog: Catalog) -> tuple[tantivy.Searcher, tantivy.Schema]:
    folder = search_folder(catalog.version)
    meta = catalog.store.local(f"{folder}/meta.json")
    for path in catalog.store.files_in(folder):
        catalog.store.local(path)
    try:
        index = tantivy.Index.open(str(meta.parent))
    except (ValueError, OSError) as error:
        raise AtlasError(
            f"{folder} is damaged ({' '.join(str(error).split())}). `atlas run` builds it again."
        ) from error
    return index.searcher(), index.schema
