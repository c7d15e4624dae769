"""Checks on a candidate before it is published: keys, references, coverage, and the files that it refers to."""

from collections.abc import Iterator
from dataclasses import dataclass

from sae.catalog.query import Catalog, open_catalog
from sae.catalog.schema import TABLES
from sae.catalog.table import Table, quoted
from sae.errors import AtlasError
from sae.storage import Store, StoredFile


@dataclass(frozen=True)
class Finding:
    """A fault of a candidate."""

    check: str
    """`key`, `reference`, `feature_id`, `coverage`, `json` or `file`."""
    table: str
    message: str
    """What is wrong and an example of it."""
    n: int
    """How many rows are concerned."""

    def __str__(self) -> str:
        return f"{self.table}: {self.message} ({self.n} rows)"


REFERENCES = (
    ("documents", "shard", "shards", "shard"),
    ("dictionaries", "model_id", "models", "model_id"),
    ("dictionary_shards", "dictionary_id", "dictionaries", "dictionary_id"),
    ("features", "dictionary_id", "dictionaries", "dictionary_id"),
    ("clusters", "dictionary_id", "dictionaries", "dictionary_id"),
    ("families", "parent_feature_id", "features", "feature_id"),
    ("families", "child_feature_id", "features", "feature_id"),
    ("examples", "document_id", "documents", "document_id"),
    ("neighbors", "neighbor_id", "features", "feature_id"),
    ("coactivations", "other_id", "features", "feature_id"),
    ("label_examples", "label_id", "labels", "label_id"),
    ("label_scores", "label_id", "labels", "label_id"),
    ("label_reviews", "label_id", "labels", "label_id"),
    ("label_renewals", "label_id", "labels", "label_id"),
    ("prompts", "model_id", "models", "model_id"),
    ("attribution_runs", "prompt_id", "prompts", "prompt_id"),
    ("attribution_runs", "dictionary_id", "dictionaries", "dictionary_id"),
    ("attributions", "prompt_id", "prompts", "prompt_id"),
    ("attribution_edges", "prompt_id", "prompts", "prompt_id"),
    ("attribution_edges", "source_feature_id", "features", "feature_id"),
    ("attribution_edges", "target_feature_id", "features", "feature_id"),
    ("interventions", "prompt_id", "prompts", "prompt_id"),
    ("interventions", "dictionary_id", "dictionaries", "dictionary_id"),
    ("steering", "prompt_id", "prompts", "prompt_id"),
    ("concept_scores", "concept_id", "concepts", "concept_id"),
    ("evaluation", "dictionary_id", "dictionaries", "dictionary_id"),
)
"""(table, column, referred table, referred column)."""

_COVERED_BY = ("examples", "neighbors")
"""What every feature that is alive has a row in. A label it may lack: the budget was spent, or a person rejected it."""


def check_candidate(store: Store, version: str) -> list[Finding]:
    """The faults of a version, published or not; an empty list where there is none.

    Raises AtlasError where it cannot be opened at all.
    """
    with open_catalog(store, version) as catalog:
        findings = list(_damaged_files(store, catalog))
        if findings:
            return findings
        for table in TABLES.values():
            findings += _repeated_keys(catalog, table)
            findings += _features_named_wrongly(catalog, table)
        for reference in REFERENCES:
            findings += _dangling(catalog, *reference)
        findings += _labels_without_evidence(catalog)
        findings += _uncovered(catalog)
    return findings


def _damaged_files(store: Store, catalog: Catalog) -> Iterator[Finding]:
    for row in catalog.sql("SELECT path, size, sha256 FROM parquet_files").iter_rows(named=True):
        try:
            store.verify(StoredFile(row["path"], row["size"], row["sha256"]))
        except AtlasError as error:
            yield Finding("file", "parquet_files", str(error), 1)


def _repeated_keys(catalog: Catalog, table: Table) -> list[Finding]:
    key = ", ".join(quoted(name) for name in table.key)
    repeated = f"SELECT {key}, count(*) AS n FROM {quoted(table.name)} GROUP BY ALL HAVING n > 1"
    example = " || ', ' || ".join(f"coalesce({quoted(name)}::VARCHAR, '')" for name in table.key)
    query = f"SELECT min({example}), sum(n - 1) FROM ({repeated})"
    return _found(catalog, query, "key", table.name, f"({', '.join(table.key)}) stands twice, for example ({{}})")


def _features_named_wrongly(catalog: Catalog, table: Table) -> list[Finding]:
    """feature_id must be `<dictionary_id>:<index>`, and a row of features."""
    if "feature_id" not in table.column_names:
        return []
    misnamed = f"""SELECT min(feature_id), count(*) FROM {quoted(table.name)}
        WHERE feature_id <> dictionary_id || ':' || "index" """
    findings = _found(catalog, misnamed, "feature_id", table.name, "feature_id {} is not <dictionary_id>:<index>")
    if table.name != "features":
        findings += _dangling(catalog, table.name, "feature_id", "features", "feature_id")
    return findings


def _dangling(catalog: Catalog, table: str, column: str, referred: str, referred_column: str) -> list[Finding]:
    query = f"""SELECT min({quoted(column)}), count(*) FROM {quoted(table)}
        WHERE {quoted(column)} NOT IN (SELECT {quoted(referred_column)} FROM {quoted(referred)})"""
    return _found(catalog, query, "reference", table, f"{column} {{}} is not in {referred}")


def _labels_without_evidence(catalog: Catalog) -> list[Finding]:
    """The examples that a label in force was written from must be there.

    Older labels stay for ever, while their examples go when a dictionary's examples are gathered anew; and the parent
    of a carried label belongs to a dictionary that may be gone.
    """
    missing = """SELECT min(example_id), count(*) FROM label_examples SEMI JOIN current_labels USING (label_id)
        WHERE use = 'shown' AND example_id NOT IN (SELECT example_id FROM examples)"""
    orphaned = """SELECT min(parent_label_id), count(*) FROM labels
        WHERE origin <> 'carried' AND parent_label_id NOT IN (SELECT label_id FROM labels)"""
    return [
        *_found(catalog, missing, "reference", "label_examples", "example_id {} is not in examples"),
        *_found(catalog, orphaned, "reference", "labels", "parent_label_id {} is not in labels"),
    ]


def _uncovered(catalog: Catalog) -> list[Finding]:
    findings: list[Finding] = []
    for relation in _COVERED_BY:
        query = f"""SELECT min(feature_id), count(*) FROM features
            WHERE NOT is_dead AND feature_id NOT IN (SELECT feature_id FROM {quoted(relation)})"""
        if relation == "neighbors":  # Where one feature alone is alive, it has nothing to be near to.
            query += """ AND dictionary_id IN
                (SELECT dictionary_id FROM features WHERE NOT is_dead GROUP BY dictionary_id HAVING count(*) > 1)"""
        findings += _found(catalog, query, "coverage", relation, "feature {} is alive but has no row")
    return findings


def _found(catalog: Catalog, query: str, check: str, table: str, message: str) -> list[Finding]:
    example, n = catalog.sql(query).row(0)
    return [Finding(check, table, message.format(example), int(n))] if n else []
