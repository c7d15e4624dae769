"""Commands that read the published catalog: sql, search, feature."""

import json
import sys
from enum import StrEnum
from typing import Annotated, Any

import polars as pl
import typer

from orchestration.cli.tables import plain, print_rows
from sae.catalog import open_catalog
from sae.catalog.search import search_catalog
from sae.config import load_workspace
from sae.errors import AtlasError, ConfigError
from sae.storage import Store

JSON_OPTION = typer.Option("--json", help="Print JSON.")
CATALOG_OPTION = typer.Option("--catalog", help="A past version of the catalog; its number is enough.")


class Format(StrEnum):
    """How a result is printed."""

    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (sql, search, feature):
        app.command()(command)


def sql(
    query: Annotated[str, typer.Argument(help="One SELECT.")],
    output: Annotated[Format, typer.Option("--format", help="How the rows are printed.")] = Format.table,
    catalog_version: Annotated[str | None, CATALOG_OPTION] = None,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Query the published catalog (read-only)."""
    if as_json and output not in (Format.table, Format.json):
        raise ConfigError(f"--json and --format {output} are two answers: give one of them.")
    with open_catalog(Store(load_workspace().store), catalog_version) as catalog:
        show(catalog.sql(query), Format.json if as_json else output)


def search(
    text: Annotated[str, typer.Argument(help="Words of a label, an explanation or a token.")],
    limit: Annotated[int, typer.Option(min=1, help="Largest number of features.")] = 20,
    catalog_version: Annotated[str | None, CATALOG_OPTION] = None,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Find features by what their labels and tokens say."""
    found = search_catalog(Store(load_workspace().store), text, limit, catalog_version)
    print_rows(found.to_dicts(), ("score", "feature_id", "label", "explanation"), as_json)


def feature(
    feature_id: Annotated[str, typer.Argument(help="<dictionary_id>:<index>")],
    catalog_version: Annotated[str | None, CATALOG_OPTION] = None,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Show one feature: label, examples, neighbours, logit weights, concepts."""
    from orchestration.cards import feature_card, print_card

    with open_catalog(Store(load_workspace().store), catalog_version) as catalog:
        card = feature_card(catalog, feature_id)
    print(json.dumps(card, indent=1, ensure_ascii=False, default=str) if as_json else print_card(card))


def show(frame: pl.DataFrame, output: Format) -> None:
    """Print rows."""
    match output:
        case Format.table:
            with pl.Config(tbl_rows=1000, tbl_cols=-1, fmt_str_lengths=80, tbl_hide_dataframe_shape=True):
                print(plain(str(frame.with_columns(pl.col(pl.String).str.replace_all(r"[\r\n]", " ")))))
        case Format.csv:
            print(_flat(frame).write_csv(), end="")
        case Format.json:
            print(json.dumps(frame.to_dicts(), ensure_ascii=False, default=str))
        case Format.parquet:
            if sys.stdout.isatty():
                raise AtlasError(
                    "Parquet is bytes: send it to a file, for example `atlas sql … --format parquet > rows.parquet`."
                )
            frame.write_parquet(sys.stdout.buffer)


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    """CSV has no lists: they become JSON."""
    nested = [name for name, dtype in frame.schema.items() if dtype.is_nested()]
    return frame.with_columns(pl.col(name).map_elements(_json, return_dtype=pl.String) for name in nested)


def _json(value: Any) -> str:
    return json.dumps(value.to_list() if isinstance(value, pl.Series) else value, ensure_ascii=False, default=str)
