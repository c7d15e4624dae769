"""Commands about the models that can be studied: models inspect."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.query import JSON_OPTION
from orchestration.cli.tables import print_rows
from sae.config import ModelConfig, Workspace, load_workspace
from sae.config.workspace import CONFIG_VARIABLE
from sae.errors import AtlasError, ConfigError

if TYPE_CHECKING:
    from sae.models.inspection import ModelFacts
    from sae.models.subject import Subject


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    models = typer.Typer(name="models", help="Look at models before they are studied.", no_args_is_help=True)
    models.command()(inspect)
    # A second command keeps `inspect` a name of its own: a group of one would take its place.
    models.command(name="list")(configured)
    app.add_typer(models)


def inspect(
    model: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="A model of the config, a hub id, a folder, a .gguf file or package://<package>/<file>."
        ),
    ],
    revision: Annotated[str | None, typer.Option(help="Commit of a hub id.")] = None,
    every: Annotated[bool, typer.Option("--all", help="List raw module paths too.")] = False,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """List a model's hookpoints with their shapes, and what decides how it is read."""
    facts = _facts(model, revision)
    if as_json:
        print(json.dumps(asdict(facts), indent=1, ensure_ascii=False))
        return
    context = "not limited" if facts.context_size is None else f"{facts.context_size:,} tokens"
    special = ", ".join(f"{token} ({number})" for token, number in list(facts.special_tokens.items())[:12])
    print(f"{facts.name}: {facts.architecture}, {facts.n_parameters:,} parameters in {facts.dtype}")
    print(f"  {facts.n_layers} blocks of width {facts.d_model}; reads {', '.join(facts.modalities)}; context {context}")
    print(f"  vocabulary {facts.vocabulary_size:,}; control tokens: {special or 'none'}")
    shown = [asdict(place) for place in facts.hookpoints if every or place.hookpoint != place.module]
    shown = shown or [asdict(place) for place in facts.hookpoints]
    for place in shown:
        place["shape"] = " × ".join(map(str, place["shape"]))
    print_rows(shown, ("hookpoint", "shape", "module"), False)
    if left := len(facts.hookpoints) - len(shown):
        print(f"and {left} module paths, which are hookpoints too (--all lists them)")


def configured(as_json: Annotated[bool, JSON_OPTION] = False) -> None:
    """List the models of the config."""
    models = load_workspace().config.models
    rows = [{"model": name, "source": model.source, "dtype": model.dtype} for name, model in models.items()]
    print_rows(rows, ("model", "source", "dtype"), as_json)


def _facts(model: str, revision: str | None) -> "ModelFacts":
    from sae.models.inspection import inspect_source, inspect_subject
    from sae.models.loading import TRAINED_HERE

    workspace = _workspace()
    if workspace is None or model not in workspace.config.models:
        return inspect_source(ModelConfig(source=model, revision=revision), model, Path.cwd())
    if revision is not None:
        raise ConfigError(f"{model} is a model of the config, which states its revision. Leave --revision out.")
    config = workspace.config.models[model]
    if config.source not in TRAINED_HERE:
        return inspect_source(config, model, workspace.path.parent)
    return inspect_subject(_made(workspace, model))


def _made(workspace: Workspace, model: str) -> "Subject":
    from orchestration.partitions import Cell
    from orchestration.pinned import open_subject
    from orchestration.refs import read_ref
    from sae.storage import Store

    store = Store(workspace.store)
    ref = read_ref(store, Cell("subject_model", model))
    if ref is None:
        raise AtlasError(f"{model} is trained by `atlas run` and was not made yet.")
    config = workspace.config.models[model]
    folder, files = f"models/{ref.data_version}", tuple(ref.files)
    return open_subject(store, folder, model, files, config.device, config.attention)


def _workspace() -> Workspace | None:
    """The config, where there is one: a model by hub id or folder needs none."""
    there = CONFIG_VARIABLE in os.environ or Path("atlas.yaml").exists()
    return load_workspace() if there else None
