"""The command `diff`: two versions of a dictionary beside each other."""

import json
from typing import Annotated, Any

import typer

from orchestration.cli.query import JSON_OPTION
from orchestration.cli.tables import cell, print_rows
from sae.config import load_workspace
from sae.dictionaries.differences import shards_in_words
from sae.errors import ConfigError

_NAME = "A recipe, `<site>.<recipe>`, either with `@1` for the version before, or a dictionary's id or its beginning."


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(diff)


def diff(
    old: Annotated[str, typer.Argument(help=_NAME)],
    new: Annotated[str, typer.Argument(help="The same.")],
    most: Annotated[int, typer.Option(min=0, help="Largest number of features listed of a kind.")] = 10,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Compare two dictionaries: quality, what they were made from, and what became of features and labels."""
    from orchestration.comparison import compare
    from orchestration.dictionary_versions import find_version

    workspace = load_workspace()
    before, after = find_version(workspace, old), find_version(workspace, new)
    if before.dictionary_id == after.dictionary_id:
        raise ConfigError(f"Both are {after.dictionary_id}. The one before it is called {new}@1, where there is one.")
    found = compare(before, after, workspace.state / "ledger.sqlite", most)
    if as_json:
        print(json.dumps(found, indent=1, ensure_ascii=False, default=str))
        return
    _show(found)


def _show(found: dict[str, Any]) -> None:
    for side in ("old", "new"):
        one = found[side]
        print(
            f"{side}: {one['dictionary_id']}  {one['site']}.{one['recipe']}, {one['created_at']}, run {one['run_id']}"
        )
    print("\nMade from:")
    if found["differs"]:
        print_rows([{**row, **_sides(row)} for row in found["differs"]], ("what", "old", "new"), False)
    print(shards_in_words(found["shards"]))
    print("\nMeasured on each one's own held-out tokens:")
    print_rows(found["metrics"], ("metric", "old", "new"), False)
    print(f"\nFeatures, {found['matched']}:")
    if found["statuses"]:
        print(", ".join(f"{count:,} {status}" for status, count in found["statuses"].items()))
    if found["labels"]:
        print("Labels: " + ", ".join(f"{count:,} {what}" for what, count in found["labels"].items()))
    if found["changed"]:
        print("\nMatched, but changed most:")
        columns = ("previous_feature_id", "feature_id", "status", "cosine", "activation_correlation")
        print_rows(found["changed"], (*columns, "label_old", "label_new"), False)
    if found["retired"]:
        print("\nRetired, the most active:")
        print_rows(found["retired"], ("previous_feature_id", "density", "label"), False)


def _sides(row: dict[str, Any]) -> dict[str, str]:
    return {side: cell(row[side]).plain or "–" for side in ("old", "new")}
