"""Commands that keep a store in order: gc, forget, backup, restore."""

import datetime
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.query import JSON_OPTION
from orchestration.cli.tables import print_rows
from sae.config import load_workspace
from sae.errors import AtlasError
from sae.storage import Store

if TYPE_CHECKING:
    from orchestration.upkeep.backup import Archive
    from orchestration.upkeep.garbage import Garbage
    from orchestration.upkeep.traces import Trace

YES_OPTION = typer.Option("--yes", help="Do it; without it nothing is changed.")


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (gc, forget, backup, restore):
        app.command()(command)


def gc(yes: Annotated[bool, YES_OPTION] = False, as_json: Annotated[bool, JSON_OPTION] = False) -> None:
    """List what nothing in force refers to any more, with the reason, by the config's `retention`; --yes removes it."""
    from orchestration.locking import writing
    from orchestration.runner import open_session
    from orchestration.upkeep.garbage import find_garbage, remove

    session = open_session(load_workspace())
    now = datetime.datetime.now(datetime.UTC)
    if yes:
        with writing(session.workspace):
            found = find_garbage(session, now)
            remove(session, found)
    else:
        found = find_garbage(session, now)
    if as_json:
        print(json.dumps({"removed": yes, "bytes": _bytes(found), "garbage": [asdict(one) for one in found]}, indent=1))
        return
    _print(found, yes)


def forget(
    document: Annotated[str, typer.Argument(help="The document's id, or the beginning of it.")],
    yes: Annotated[bool, YES_OPTION] = False,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """List every place that holds a document's text; --yes removes it there and makes again what was made from it."""
    from orchestration.runner import open_session
    from orchestration.upkeep.forgetting import forget as forget_document
    from orchestration.upkeep.traces import find_document, find_traces

    session = open_session(load_workspace())
    sought = find_document(Store(session.workspace.store), document)
    found, failed, left = find_traces(session, sought).every(), {}, []
    if yes:
        done = forget_document(session, sought, lambda line: print(line, file=sys.stderr, flush=True))
        found, failed, left = done.removed.every(), done.outcome.failed, done.left
    if as_json:
        print(
            json.dumps(
                {
                    "document_ids": sorted(sought.document_ids),
                    "removed": yes,
                    "places": [asdict(trace) for trace in found],
                    "left": [asdict(trace) for trace in left],
                    "failed": {str(cell): error for cell, error in failed.items()},
                },
                indent=1,
                ensure_ascii=False,
            )
        )
    else:
        print_rows([asdict(trace) for trace in found], ("kind", "name", "why"), False)
        outside = sum(trace.kind == "outside" for trace in found)
        print(f"{len(found) - outside} places in store and state hold {', '.join(sorted(sought.document_ids))}.")
        print("They are gone." if yes and not left else "`atlas forget --yes` removes them and makes the rest again.")
    for cell, error in failed.items():
        print(f"failed: {cell}: {error}", file=sys.stderr)
    if left:
        raise AtlasError(f"{len(left)} places still hold it: {_first(left)}. Run it again.")
    raise typer.Exit(1 if failed else 0)


def backup(
    file: Annotated[Path, typer.Argument(help="The tar file to write; `.tar.gz` is compressed.")],
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Write store and state to one file. The config and the corpora are yours: keep them too."""
    from orchestration.upkeep.backup import back_up

    _archive("Wrote", back_up(load_workspace(), file), as_json)


def restore(
    file: Annotated[Path, typer.Argument(help="What `atlas backup` wrote.")],
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Put a backup's store and state where the config wants them; both places must be empty."""
    from orchestration.upkeep.backup import restore as restore_archive

    _archive("Restored", restore_archive(load_workspace(), file), as_json)


def _archive(verb: str, archive: "Archive", as_json: bool) -> None:
    if as_json:
        print(json.dumps(asdict(archive), indent=1))
    else:
        print(f"{verb} {archive.file}: {archive.files:,} files, {archive.size:,} bytes, of {archive.created_at}.")


def _print(found: "Sequence[Garbage]", removed: bool) -> None:
    if not found:
        print("Nothing to remove: all that the store holds is in force or kept by `retention`.")
        return
    groups = Counter((one.kind, one.why) for one in found)
    rows = [
        {
            "what": kind,
            "items": number,
            "bytes": _bytes([one for one in found if (one.kind, one.why) == (kind, why)]),
            "why": why,
        }
        for (kind, why), number in groups.items()
    ]
    print_rows(rows, ("what", "items", "bytes", "why"), False)
    total = f"{len(found):,} items, {_bytes(found):,} bytes"
    print(f"Removed {total}." if removed else f"{total}. `atlas gc --yes` removes them; --json names each.")


def _bytes(found: "Sequence[Garbage]") -> int:
    return sum(one.size for one in found)


def _first(left: "Sequence[Trace]") -> str:
    return ", ".join(trace.name for trace in left[:3])
