"""The whole pipeline on a demo world small enough for a test: one config, and what the event log says was made."""

import copy
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

import sae
from orchestration.runner import Outcome, dagster_home, open_session, refresh
from sae.config import Workspace, load_workspace

ROOT = Path(sae.__file__).parents[1]
SITE = "world-lm.layers.3"
QUESTION = "Fact: The capital of the state where Kobe Bryant played basketball is"
CONFIG: dict[str, Any] = {
    "store": "store",
    "state": "state",
    "models": {"world-lm": {"source": "world", "steps": 8}},
    "corpora": {"world": {"source": "world", "shards": 2, "documents": 240}},
    "sites": [{"model": "world-lm", "hookpoint": "layers.3", "corpora": ["world"]}],
    "dictionaries": {
        "large": {"architecture": "matryoshka", "groups": [16, 24], "k": [3, 2], "tokens": 20_000},
        "small": {"architecture": "topk", "latents": 20, "k": 4, "tokens": 20_000},
    },
    "checks": {"fvu": 1.0, "dead": 1.0, "loss_recovered": -100, "worse_by": 100},
    "scorers": ["rule", "truth"],
    "steering": {"strengths": [0, 5], "max_features": 1, "prompts": [QUESTION], "new_tokens": 2},
    "prompts": [
        {"id": "kobe", "model": "world-lm", "text": QUESTION, "target": "Sacramento", "baseline": "Albany"},
    ],
}

Edit = Callable[[dict[str, Any]], object]


def write_config(folder: Path, edit: Edit = lambda config: None) -> Path:
    """Write the tiny config, edited, into a folder."""
    config = copy.deepcopy(CONFIG)
    edit(config)
    path = folder / "atlas.yaml"
    path.write_text(yaml.safe_dump(config, allow_unicode=True))
    return path


def environment(config: Path) -> dict[str, str]:
    """The environment of a command on this config, and on no other that the caller's names."""
    kept = {name: value for name, value in os.environ.items() if name not in ("ATLAS_STORE", "DAGSTER_HOME")}
    return kept | {"ATLAS_CONFIG": str(config), "PYTHONPATH": str(ROOT), "GOMP_SPINCOUNT": "1000"}


def atlas_command(*arguments: str) -> list[str]:
    """The command line of `atlas …`."""
    return [sys.executable, "-c", "from orchestration.cli import main; main()", *arguments]


def atlas(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `atlas …` as a process of its own, as a user does."""
    return subprocess.run(
        atlas_command(*arguments), env=environment(config), capture_output=True, text=True, timeout=300, check=False
    )


def run(config: Path, said: list[str] | None = None) -> Outcome:
    """Do in this process what `atlas run` does; what it announces goes to `said`."""
    lines = said if said is not None else []
    return refresh(open_session(load_workspace(config)), trigger="atlas run", say=lines.append)


def made_since(config: Path, cursor: int) -> tuple[list[str], int]:
    """The materialisations after an event, as `asset` or `asset[partition]`, by Dagster's event log on disk."""
    events, last = [], cursor
    with instance(load_workspace(config)) as dagster:
        for key in dagster.all_asset_keys():
            for record in dagster.fetch_materializations(key, limit=1000).records:
                if record.storage_id > cursor:
                    name, partition = key.to_user_string(), record.partition_key
                    events.append(name if partition is None else f"{name}[{partition}]")
                    last = max(last, record.storage_id)
    return sorted(events), last


def instance(workspace: Workspace) -> dg.DagsterInstance:
    """The Dagster instance of a workspace."""
    return dg.DagsterInstance.from_config(str(dagster_home(workspace)))
