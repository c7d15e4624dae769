"""The command `audit`: where something came from, up to the corpus and the model; and what came from something."""

import json
from typing import Annotated

import typer

from orchestration.cli.query import CATALOG_OPTION, JSON_OPTION
from sae.catalog import open_catalog
from sae.config import load_workspace
from sae.errors import ConfigError
from sae.storage import Store


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(audit)


def audit(
    identifier: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Any id, or its beginning: what it names is recognised.")
    ] = None,
    document: Annotated[str | None, typer.Option(help="What came from this document?")] = None,
    shard: Annotated[str | None, typer.Option(help="What came from this shard?")] = None,
    model: Annotated[str | None, typer.Option(help="What came from this model, read or asked for labels?")] = None,
    run: Annotated[str | None, typer.Option(help="What came from this run?")] = None,
    dictionary: Annotated[str | None, typer.Option(help="What came from this dictionary?")] = None,
    most: Annotated[int, typer.Option(min=0, help="Rows printed of each sort; --json prints all.")] = 5,
    catalog_version: Annotated[str | None, CATALOG_OPTION] = None,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Print where a label, feature or dictionary came from, each hash verified; or what came from something.

    Exit code 1 where a hash differs.
    """
    from orchestration.audit import UPWARDS, audit_chain, print_chain, print_report
    from orchestration.provenance.downstream import KINDS, report_json, what_came_of
    from orchestration.provenance.identify import identify
    from orchestration.provenance.records import open_ledger

    given = {"document": document, "shard": shard, "model": model, "run": run, "dictionary": dictionary}
    asked = {kind: name for kind, name in given.items() if name is not None}
    if len(asked) + (identifier is not None) != 1:
        raise ConfigError("Give one id; or one of --document, --shard, --model, --run, --dictionary with a name.")
    workspace = load_workspace()
    store, ledger = Store(workspace.store), workspace.state / "ledger.sqlite"
    with open_catalog(store, catalog_version) as catalog:
        with open_ledger(ledger) as records:
            kinds = tuple(asked) or tuple(dict.fromkeys((*UPWARDS, *KINDS)))
            kind, name = identify(catalog, records, identifier or next(iter(asked.values())), kinds)
        if asked or kind not in UPWARDS:
            facts, found = what_came_of(catalog, kind, name)
            if as_json:
                report = report_json(kind, name, facts, found)
                print(json.dumps(report, indent=1, ensure_ascii=False, default=str))
            else:
                print(print_report(kind, name, facts, found, most))
            return
        chain = audit_chain(store, catalog, ledger, name)
    if as_json:
        links = [link.to_json() for link in chain]
        print(json.dumps(links, indent=1, ensure_ascii=False, default=str))
    else:
        print(print_chain(chain))
    raise typer.Exit(1 if any(link.outcome == "MISMATCH" for link in chain) else 0)
