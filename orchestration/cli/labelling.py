"""The command `label`: ask the configured model, for all features or for some, or say what that would cost."""

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.query import JSON_OPTION
from sae.config import load_workspace
from sae.errors import ConfigError

if TYPE_CHECKING:
    from sae.labels.estimate import Estimate
    from sae.labels.llm import Progress


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(label)


def label(
    features: Annotated[list[str] | None, typer.Argument(help="<dictionary_id>:<index> …; all by default.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would ask and cost; ask nothing.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Ask anew about features that have a label.")] = False,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Label features with the model that `labeler` names, whichever labeler a run uses, and publish the catalog."""
    from orchestration.labelling import estimate_all, label_now

    workspace = load_workspace()
    if workspace.config.labeler.model is None:
        raise ConfigError("`labeler` names no `model`: add `model`, `base_url`, `price` and `budget_usd`.")
    if again and not features:
        raise ConfigError("--again wants features by name: asking anew about all is a new `labeler.seed`.")
    if dry_run:
        found = estimate_all(workspace, features)
        print(json.dumps(asdict(found), indent=1) if as_json else _estimate(found))
        return
    done = label_now(workspace, features, again, lambda line: print(line, file=sys.stderr, flush=True))
    print(json.dumps(asdict(done), indent=1) if as_json else _done(done))


def _estimate(found: "Estimate") -> str:
    time = "unknown before the first request" if found.seconds is None else f"about {found.seconds:,.0f} s"
    enough = "enough" if found.reached else "NOT enough: the rest keep the labels that they have"
    return "\n".join(
        [
            f"{found.features:,} features are due; {found.answered:,} have been answered already and cost nothing",
            f"{found.requests:,} requests, about {found.input_tokens:,} tokens in and {found.output_tokens:,} out",
            f"cost about ${found.cost_usd:.4f}, at most ${found.most_usd:.4f} if each is sent once",
            f"budget ${found.budget_usd:.4f}, of which ${found.spent_usd:.4f} are spent: {enough}",
            f"time {time}",
        ]
    )


def _done(done: "Progress") -> str:
    text = f"{done.labelled:,} labelled, {done.marked:,} without a usable reply; paid ${done.paid_usd:.4f}"
    if done.unasked:
        text += f"\nThe budget is spent: {len(done.unasked):,} features keep the label that they have."
    return text
