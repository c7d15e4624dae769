"""`atlas`: the command line. Exit codes: 0 done, 1 failed, 2 wrong use."""

import sys
from collections.abc import Sequence

import typer

from orchestration.cli import (
    audit,
    exchange,
    labelling,
    labels,
    model,
    models,
    pipeline,
    query,
    serving,
    upkeep,
    versions,
)
from sae.errors import AtlasError, ConfigError

app = typer.Typer(
    name="atlas",
    help="Feature Atlas: train, label, query and audit the features of a language model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
pipeline.register(app)
query.register(app)
audit.register(app)
versions.register(app)
model.register(app)
models.register(app)
serving.register(app)
labels.register(app)
labelling.register(app)
exchange.register(app)
upkeep.register(app)


@app.callback()
def _options(debug: bool = typer.Option(False, "--debug", help="Show the whole traceback of an error.")) -> None:
    """Options of every command: they stand before the command."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave with its exit code; an error is one or two lines, a traceback only with --debug."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        app(given, prog_name="atlas")
    except AtlasError as error:
        if "--debug" in given:
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, ConfigError) else 1)
    except Exception as error:
        if "--debug" in given:
            raise
        words = " ".join(str(error).split())[:300]
        print(f"error: {type(error).__name__}: {words}\n`atlas --debug …` shows where it came from.", file=sys.stderr)
        sys.exit(1)
