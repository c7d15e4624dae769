"""Commands about labels: review."""

import datetime
import getpass
import json
from typing import Annotated

import typer

from orchestration.cli.query import JSON_OPTION
from orchestration.cli.tables import cell
from sae.config import load_workspace
from sae.errors import AtlasError, ConfigError


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(review)


def review(
    label: Annotated[str, typer.Argument(help="The label's id, or the beginning of it.")],
    accept: Annotated[bool, typer.Option("--accept", help="It holds: no newer label takes its place.")] = False,
    reject: Annotated[bool, typer.Option("--reject", help="It does not hold: it is not current any more.")] = False,
    rewrite: Annotated[str | None, typer.Option(help="A better label, which takes its place.")] = None,
    explanation: Annotated[str | None, typer.Option(help="The sentence that goes with --rewrite.")] = None,
    note: Annotated[str | None, typer.Option(help="Why.")] = None,
    reviewer: Annotated[str | None, typer.Option(help="Your name; your user's name by default.")] = None,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Accept, reject or rewrite a label. The next `atlas run` publishes it; nothing is labelled again."""
    from sae.labels.ledger import Ledger
    from sae.labels.reviews import review_label

    if accept + reject + (rewrite is not None) != 1:
        raise ConfigError("Give one of --accept, --reject and --rewrite TEXT.")
    if explanation is not None and rewrite is None:
        raise ConfigError("--explanation goes with --rewrite.")
    path = load_workspace().state / "ledger.sqlite"
    if not path.is_file():
        raise AtlasError("Nothing has been labelled yet. `atlas run` labels every feature.")
    with Ledger(path) as ledger:
        done = review_label(
            ledger,
            label,
            "accept" if accept else "reject" if reject else "rewrite",
            reviewer or _user(),
            datetime.datetime.now(datetime.UTC),
            proposed=rewrite,
            explanation=explanation,
            note=note,
        )
    if as_json:
        print(json.dumps(done._asdict(), indent=1, ensure_ascii=False, default=str))
        return
    print(f"review {done.review_id} of {done.label_id}")
    if done.current:
        text = cell(done.current["label"]).plain
        print(f"current label of {done.feature_id}: {text}  ({done.current['labeler']}, {done.current['label_id']})")
    else:
        print(f"{done.feature_id} has no label now: rewrite this one, or label it with another labeler.")
    print("`atlas run` publishes it.")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError) as error:
        raise ConfigError("Your user has no name here: give --reviewer NAME.") from error
