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
) -> None:
    """The inference service: activate, attribute and steer over HTTP, from a model that stays loaded."""
    from orchestration.serving.service import serve as run_service

    run_service(load_workspace(), host, port, name or [], lambda line: print(line, flush=True))
