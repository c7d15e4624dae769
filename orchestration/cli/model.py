"""Commands that run the model: activate, attribute."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.query import JSON_OPTION
from orchestration.cli.tables import print_rows
from sae.config import Workspace, load_workspace
from sae.errors import AtlasError, ConfigError
from sae.storage import Store

if TYPE_CHECKING:
    from orchestration.pinned import Pinned

DICTIONARY_OPTION = typer.Option(
    "--dictionary", help="<site>.<recipe> or a dictionary's id; the config's first by default."
)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (activate, attribute):
        app.command()(command)


def activate(
    text: Annotated[str, typer.Argument(help="Any text that the model reads.")],
    dictionary: Annotated[str, DICTIONARY_OPTION] = "",
    top: Annotated[int, typer.Option(min=1, help="Features shown for each token.")] = 5,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Run a text through the model and list the features active at each token."""
    from orchestration.answers import activations_of

    workspace = load_workspace()
    rows = activations_of(pinned_dictionary(workspace, dictionary), _labels(workspace), text, top)
    print_rows(rows, ("position", "token", "feature_id", "activation", "label"), as_json)


def attribute(
    text: Annotated[str, typer.Argument(help="The prompt; its continuation is explained.")],
    target: Annotated[str, typer.Option(help="The continuation whose logit is explained.")],
    baseline: Annotated[
        str | None, typer.Option(help="The continuation it is compared with; the mean logit by default.")
    ] = None,
    dictionary: Annotated[str, DICTIONARY_OPTION] = "",
    top: Annotated[int, typer.Option(min=1, help="Features listed and checked by ablation.")] = 10,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Explain an answer: the features on its way by attribution, each checked by ablation."""
    from orchestration.answers import explanation_of

    workspace = load_workspace()
    answer = explanation_of(pinned_dictionary(workspace, dictionary), _labels(workspace), text, target, baseline, top)
    if as_json:
        print(json.dumps(answer, indent=1, ensure_ascii=False))
        return
    right = "as asked" if answer["is_correct"] else f"asked: {target}"
    against = baseline or "the mean logit"
    print(f"{text} → {answer['predicted']} ({right})")
    print(
        f"logit of {target} minus {against}: {answer['logit_diff']:+.2f}; error term {answer['error_attribution']:+.2f}"
    )
    print_rows(
        answer["features"],
        ("rank", "token", "feature_id", "activation", "attribution", "ablation_effect", "label"),
        False,
    )
    print(f"Spearman of attribution and ablation over these: {answer['ablation_spearman']:.2f}")


def pinned_dictionary(workspace: Workspace, name: str) -> "Pinned":
    """A current dictionary by `<site>.<recipe>` or id, the config's first for an empty name.

    Raises AtlasError where none has been accepted, ConfigError where none has that name.
    """
    from orchestration.partitions import Cell
    from orchestration.pinned import Pinned
    from orchestration.refs import read_ref

    store, pairs = Store(workspace.store), list(workspace.config.pairs())
    accepted = {pair: ref for pair in pairs if (ref := read_ref(store, Cell("dictionary", pair)))}
    if not accepted:
        raise AtlasError("No dictionary has been accepted yet. `atlas run` trains them.")
    wanted = name or next(iter(accepted))
    for pair, ref in accepted.items():
        if wanted in (pair, ref.data_version):
            return Pinned(store, ref)
    raise ConfigError(f"No current dictionary {name!r}. There are: {', '.join(accepted)}.")


def _labels(workspace: Workspace) -> dict[str, str]:
    from sae.catalog import open_catalog

    store = Store(workspace.store)
    if not store.exists("catalog/CURRENT"):
        return {}
    with open_catalog(store) as catalog:
        return dict(catalog.sql("select feature_id, label from current_labels").iter_rows())
