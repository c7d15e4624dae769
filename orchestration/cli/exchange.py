"""Commands that take dictionaries in and give them out: import, export."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.query import CATALOG_OPTION, JSON_OPTION
from sae.config import FORMATS, Format, load_workspace
from sae.errors import ConfigError
from sae.storage import Store

_FORMAT = f"One of: {', '.join(FORMATS)}."


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("import")(import_)
    app.command()(export)


def import_(
    kind: Annotated[str, typer.Argument(metavar="FORMAT", help=_FORMAT)],
    path: Annotated[Path, typer.Argument(help="The dictionary's folder, or its file of weights.")],
    site: Annotated[list[str] | None, typer.Option(help="A site that it reads; again for more.")] = None,
    name: Annotated[str, typer.Option(help="Name of the recipe in the lines printed.")] = "imported",
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Check a dictionary that another library made, keep a copy beside the config, print the recipe that uses it.

    The config itself is not changed.
    """
    from orchestration.imports import take_dictionary

    workspace, wanted = load_workspace(), _format(kind)
    if name in workspace.config.dictionaries:
        raise ConfigError(f"There is a recipe {name!r} already. Give another name with --name.")
    taken = take_dictionary(workspace, wanted, path, site or [])
    lines = taken.lines(name, wanted)
    if as_json:
        print(json.dumps(asdict(taken) | {"recipe": lines.strip()}, indent=1))
        return
    k = "" if taken.k is None else f", k {taken.k}"
    print(f"{path.name}: {taken.form}, {taken.d_in:,} dimensions, {taken.d_sae:,} latents{k}; kept in {taken.source}")
    print(
        f"Put this under `dictionaries:` in {workspace.path.name}, with the sites it was trained on; then `atlas run`:"
    )
    print(lines)


def export(
    kind: Annotated[str, typer.Argument(metavar="FORMAT", help=f"duckdb, or one of: {', '.join(FORMATS)}.")],
    what: Annotated[str, typer.Argument(metavar="DICTIONARY", help="<site>.<recipe> or an id; for duckdb the file.")],
    path: Annotated[Path | None, typer.Argument(help="The folder to make; not for duckdb.")] = None,
    catalog_version: Annotated[str | None, CATALOG_OPTION] = None,
) -> None:
    """Write a current dictionary as another library's folder, or the catalog as one self-contained DuckDB file."""
    if kind == "duckdb":
        if path is not None:
            raise ConfigError("duckdb exports the whole catalog: give one file.")
        _export_catalog(Path(what), catalog_version)
        return
    if catalog_version is not None:
        raise ConfigError("--catalog goes with duckdb: dictionaries are exported as they are now.")
    wanted = _format(kind)
    if path is None:
        raise ConfigError(f"Name the folder to make: atlas export {kind} {what} PATH.")
    from orchestration.exports import export_dictionary
    from orchestration.questions import pinned_dictionary

    pinned = pinned_dictionary(load_workspace(), what)
    export_dictionary(pinned, wanted, path)
    print(f"Wrote {pinned.dictionary_id} to {path} as {kind}.")


def _export_catalog(file: Path, version: str | None) -> None:
    from sae.catalog.export import export_duckdb

    size = export_duckdb(Store(load_workspace().store), file, version)
    print(f"Wrote {file}: {size:,} bytes.")


def _format(kind: str) -> Format:
    for known in FORMATS:
        if kind == known:
            return known
    raise ConfigError(f"No format {kind!r}. There are: {', '.join(FORMATS)}, and duckdb to export a catalog.")
