"""Commands that make things: init, run, status, dev, ui, doctor."""

import json
import os
import sys
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.tables import plain
from sae.config import AtlasConfig, load_workspace
from sae.errors import ConfigError

_WAITING_SHOWN = 3
PRESETS = ("world", "smollm2", "one-layer", "hf")


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (init, run, status, dev, ui, doctor):
        app.command()(command)


def init(
    preset: Annotated[str, typer.Argument(help=f"One of: {', '.join(PRESETS)}.")] = "world",
    path: Annotated[Path, typer.Option(help="Where to write it.")] = Path("atlas.yaml"),
) -> None:
    """Write a commented config to start from."""
    if preset not in PRESETS:
        raise ConfigError(f"No preset {preset!r}. There are: {', '.join(PRESETS)}.")
    if path.exists():
        raise ConfigError(f"{path} exists already. Name another file with --path, or remove it.")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"{path}: there is no folder {path.absolute().parent}. Make it first.")
    text = (resources.files("orchestration") / "presets" / f"{preset}.yaml").read_text()
    path.write_text(text)
    print(f"Wrote {path}. `atlas run` makes everything in it.")


def run(
    select: Annotated[str, typer.Option(help="Only these assets, comma separated.")] = "",
    site: Annotated[str, typer.Option(help="Only this site (and its dictionaries).")] = "",
    force: Annotated[bool, typer.Option("--force", help="Make the selected again even where nothing changed.")] = False,
) -> None:
    """Make everything that is missing or stale, and print a summary. Exit code 1 when something failed."""
    from orchestration.partitions import PARTITIONED_BY, Cell
    from orchestration.runner import open_session, refresh
    from orchestration.summary import summary

    workspace = load_workspace()
    assets = {name.strip() for name in select.split(",") if name.strip()}
    if unknown := assets - set(PARTITIONED_BY):
        raise ConfigError(f"No asset {sorted(unknown)[0]!r}. There are: {', '.join(PARTITIONED_BY)}.")
    if site and site not in (sites := [s.name for s in workspace.config.sites]):
        raise ConfigError(f"No site {site!r}. There are: {', '.join(sites)}.")
    session = open_session(workspace)

    def selected(cell: Cell) -> bool:
        return (not assets or cell.asset in assets) and (not site or _touches(cell.partition, site, workspace.config))

    outcome = refresh(session, trigger="atlas run", select=selected, force=force, say=_say, show_progress=True)
    waiting = [standing for standing in outcome.last.of("waiting") if selected(standing.cell)]
    if not outcome.made and not outcome.failed and not waiting:
        _say("nothing is stale")
    for standing in waiting[:_WAITING_SHOWN]:
        print(f"not made: {standing.cell} {'; '.join(standing.reasons)}, which is not selected", file=sys.stderr)
    if len(waiting) > _WAITING_SHOWN:
        print(f"and {len(waiting) - _WAITING_SHOWN} more wait (`atlas status` lists them)", file=sys.stderr)
    for cell, error in outcome.failed.items():
        print(f"failed: {cell}: {error}", file=sys.stderr)
    if lost := len(outcome.last.of("lost")) - len(outcome.failed):
        print(f"not made, since they need what failed: {lost} more (`atlas status` lists them)", file=sys.stderr)
    print(plain(summary(workspace)))
    raise typer.Exit(1 if outcome.failed or waiting else 0)


def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Say what is missing or stale, and why, what a run would cost, and what the disk holds."""
    from orchestration import forecast
    from orchestration.runner import open_session
    from sae.storage import Store

    workspace = load_workspace()
    plan = open_session(workspace).plan()
    cost, held = forecast.forecast(workspace, plan), forecast.disk(Store(workspace.store))
    standings = plan.standings
    if as_json:
        cells = [{"cell": str(s.cell), "state": s.state, "reasons": s.reasons} for s in standings]
        print(json.dumps({"cells": cells, **forecast.as_json(cost, held)}, indent=1))
        return
    for standing in standings:
        if standing.reasons:
            print(f"{standing.state:8} {standing.cell}: {'; '.join(standing.reasons)}")
    print(f"{sum(standing.state == 'fresh' for standing in standings)} of {len(standings)} are fresh.")
    for line in forecast.in_words(cost, held):
        print(line)


def dev(port: Annotated[int, typer.Option(help="Port of the web UI.")] = 3000) -> None:
    """Dagster's web UI and daemon on this config."""
    from orchestration.runner import dagster_home

    workspace = load_workspace()
    environment = os.environ | {
        "ATLAS_CONFIG": str(workspace.path),
        "DAGSTER_HOME": str(dagster_home(workspace)),
    }
    command = [sys.executable, "-m", "dagster", "dev", "-m", "orchestration.definitions", "-p", str(port)]
    # This process becomes that one, so that a signal to it ends the server and nothing is left running.
    os.execve(sys.executable, command, environment)


def ui(
    port: Annotated[int, typer.Option(help="Port of the pages.")] = 8501,
    service: Annotated[bool, typer.Option(help="Start the inference service beside the pages.")] = True,
) -> None:
    """The catalog's pages, and beside them the inference service, which ends with them."""
    import catalog_ui
    from catalog_ui.service import NoServiceError, standing_service
    from orchestration.serving.beside import start_beside

    folder, workspace = Path(str(catalog_ui.__file__)).parent, load_workspace()
    environment = os.environ | {"ATLAS_CONFIG": str(workspace.path)}
    if service:
        try:
            standing_service(workspace.service_file)
            _say("The pages ask the inference service that stands on this state folder already.")
        except NoServiceError:
            start_beside(port, environment)
    command = [sys.executable, "-m", "streamlit", "run", str(folder / "app.py"), "--server.port", str(port)]
    # This process becomes the pages. The service, its child, ends with them.
    os.execve(sys.executable, command, environment)


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check the installation, the config, the store and the catalog. Exit code 1 when something is wrong."""
    from orchestration.doctor import examine

    findings = examine()
    if as_json:
        print(json.dumps([{"what": f.what, "ok": f.ok, "detail": f.detail} for f in findings], indent=1))
    else:
        for finding in findings:
            print(f"{'ok ' if finding.ok else 'BAD'} {finding.what}: {finding.detail}")
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


def _touches(partition: str | None, site: str, config: AtlasConfig) -> bool:
    """Whether a partition belongs to a site; what belongs to no site (shards, models, the catalog) always does."""
    if partition is None:
        return True
    owner = partition.split("|")[-1]
    owner = config.pairs()[owner][0] if owner in config.pairs() else owner
    return owner == site or owner not in {other.name for other in config.sites}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
