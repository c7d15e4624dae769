"""The columns of an asset's tables: their types, what they say, and which columns upstream they come from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from orchestration.refs import Ref
from sae.catalog.schema import TABLES
from sae.storage import Store
from sae.table_files import read_table_schema

Sources = tuple[tuple[str, str], ...]
"""Columns by asset and name."""

_FEATURE: Sources = (("features", "feature_id"),)
_OF_EXAMPLES: Sources = (("examples", "tokens"), ("examples", "activations"), ("examples", "position"))
_OF_LABELS: Sources = (("labels", "label"), ("labels", "explanation"))

COLUMN_SOURCES: dict[str, dict[str, Sources]] = {
    "features": {
        "density": (("dictionary", "W_enc"), ("dictionary", "W_dec")),
        "max_activation": (("dictionary", "W_enc"),),
        "mean_activation": (("dictionary", "W_enc"),),
        "decoder_norm": (("dictionary", "W_dec"),),
    },
    "examples": {"activation": (("dictionary", "W_enc"),), "activations": (("dictionary", "W_enc"),)},
    "labels": {
        "feature_id": _FEATURE,
        "label": _OF_EXAMPLES,
        "explanation": (*_OF_EXAMPLES, ("features", "languages")),
        "confidence": _OF_EXAMPLES,
        "prompt": (("examples", "example_id"), ("logit_weights", "token")),
        "model": (("labeler_config", "model"),),
        "seed": (("labeler_config", "seed"),),
    },
    "label_scores": {
        "label_id": (("labels", "label_id"),),
        "score": (*_OF_LABELS, ("examples", "tokens"), ("examples", "activation")),
        "n": (("examples", "example_id"),),
    },
    "neighbors": {"feature_id": _FEATURE, "neighbor_id": _FEATURE, "similarity": (("dictionary", "W_dec"),)},
    "feature_map": {
        "feature_id": _FEATURE,
        "x": (("dictionary", "W_dec"),),
        "y": (("dictionary", "W_dec"),),
        "cluster_id": (("dictionary", "W_dec"),),
    },
    "logit_weights": {
        "feature_id": _FEATURE,
        "weight": (("dictionary", "W_dec"),),
        "token": (("dictionary", "W_dec"),),
    },
    "feature_matches": {
        "feature_id": _FEATURE,
        "previous_feature_id": (("dictionary", "W_dec"),),
        "cosine": (("dictionary", "W_dec"),),
        "activation_correlation": (("dictionary", "W_enc"),),
        "status": (("dictionary", "W_dec"), ("dictionary", "W_enc")),
    },
    "attributions": {
        "attribution": (("dictionary", "W_dec"), ("prompts_config", "text"), ("prompts_config", "target")),
        "ablation_effect": (("dictionary", "W_dec"), ("prompts_config", "text"), ("prompts_config", "target")),
        "token": (("prompts_config", "text"),),
    },
    "steering": {
        "feature_id": _FEATURE,
        "completion": (("dictionary", "W_dec"), ("steering_config", "prompts"), ("steering_config", "strengths")),
        "strength": (("steering_config", "strengths"),),
    },
}
"""Where the columns of each asset's table come from: columns of its direct inputs. Of a dictionary its matrices, of a
section of the config its keys."""


@dataclass(frozen=True)
class TableColumn:
    """One column as it is stored."""

    name: str
    type: str
    comment: str | None
    """What the catalog says of it; None where no table of the catalog has it."""


def stored_tables(store: Store, ref: Ref) -> dict[str, list[TableColumn]]:
    """The columns of the Parquet files of an artifact, by table."""
    files = {role: file.path for role, file in ref.files.items() if file.path.endswith(".parquet")}
    return {role: described(role, read_table_schema(store.local(path))) for role, path in files.items()}


def described(table: str, schema: Mapping[str, Any]) -> list[TableColumn]:
    """The columns of a frame of the table so called, with the catalog's comments."""
    known = {column.name: column.comment for column in TABLES[table].columns} if table in TABLES else {}
    return [TableColumn(name, str(kind), known.get(name)) for name, kind in schema.items()]


def column_sources(asset: str, columns: list[TableColumn]) -> dict[str, Sources]:
    """Which columns upstream those of an asset's own table come from, as far as it is known."""
    names = {column.name for column in columns}
    return {name: sources for name, sources in COLUMN_SOURCES.get(asset, {}).items() if name in names}


def table_metadata(ref: Ref, tables: Mapping[str, list[TableColumn]], rows: Mapping[str, int]) -> dict[str, Any]:
    """Dagster's own metadata of a table asset: its schema and column lineage, its name in the catalog, its rows.

    An asset with several tables is described by the one of its name; the others' schemas stand under theirs.
    """
    return {name: value for table, columns in tables.items() for name, value in _described(ref, table, columns, rows)}


def _described(ref: Ref, table: str, columns: list[TableColumn], rows: Mapping[str, int]) -> Iterator[tuple[str, Any]]:
    schema = dg.TableSchema([dg.TableColumn(c.name, c.type, description=c.comment) for c in columns])
    if table != ref.asset:
        yield f"{table}_schema", dg.MetadataValue.table_schema(schema)
        return
    yield "dagster/column_schema", schema
    if sources := column_sources(ref.asset, columns):
        deps = {
            name: [dg.TableColumnDep(dg.AssetKey(asset), column) for asset, column in found]
            for name, found in sources.items()
        }
        yield "dagster/column_lineage", dg.TableColumnLineage(deps)
    if table in TABLES:
        yield "dagster/table_name", table
        of_one = f" where dictionary_id = '{ref.facts['dictionary_id']}'" if "dictionary_id" in ref.facts else ""
        yield "in_the_catalog", dg.MetadataValue.md(f'`atlas sql "select * from {table}{of_one}"`')
    if table in rows:
        yield "dagster/partition_row_count" if ref.partition else "dagster/row_count", rows[table]
