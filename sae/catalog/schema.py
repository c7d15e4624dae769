"""The catalog's schema: every table and view, their columns, types and comments. The contract of SQL users."""

from sae.catalog import schema_causal, schema_evaluation, schema_features, schema_labels, schema_sources
from sae.catalog.table import Table, View

SCHEMA_VERSION = 3
"""A catalog of another version is refused in words."""

TABLES: dict[str, Table] = {
    table.name: table
    for part in (schema_sources, schema_features, schema_labels, schema_causal, schema_evaluation)
    for table in part.TABLES
}
"""All tables by name, those held as Parquet too."""

VIEWS: dict[str, View] = {
    view.name: view for part in (schema_features, schema_labels, schema_evaluation) for view in part.VIEWS
}
"""All views by name."""

PARQUET_TABLES: dict[str, Table] = {name: table for name, table in TABLES.items() if table.parquet}
"""The large tables, each one Parquet file a dictionary."""

NATIVE_TABLES: dict[str, Table] = {name: table for name, table in TABLES.items() if not table.parquet}
"""The tables inside the catalog's file."""

MADE_BY_PUBLISH = ("atlas", "parquet_files")
"""Tables that no frame is given for: publishing writes them."""
