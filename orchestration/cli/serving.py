"""The command that holds a model and answers: serve."""

from typing import Annotated

import typer

from sae.config import load_workspace


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(serve)


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; loopback by default.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 0,
    name: Annotated[
        list[str] | None, typer.Option(help="A further host name by which clients call it; may be repeated.")
    ] = None,
    until_input_ends: Annotated[
        bool, typer.Option("--until-input-ends", help="End with standard input: with the process at its other end.")
    ] = False,
) -> None:
    """The inference service: activate, attribute and steer over HTTP, from a model that stays loaded.

    `atlas ui` starts one beside the pages.
    """
    from orchestration.serving.beside import ENDING_SECONDS, end_with_input
    from orchestration.serving.service import serve as run_service

    patience = 0.0
    if until_input_ends:
        end_with_input()
        patience = ENDING_SECONDS  # Pages that were started again at once have the last ones' service before them.
    run_service(load_workspace(), host, port, name or [], lambda line: print(line, flush=True), patience)
