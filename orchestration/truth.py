"""The demo world for several seeds, held against its gates: `python -m orchestration.truth 11 12 13`.

Each seed gets a workspace of its own under `.demo/truth/`: its world, model and dictionaries are made by the same
assets as any other's, up to `evaluation`. Prints the table, writes `truth.json` ({metric: {mean, worst, per_seed, …}}),
and ends with 1 where a gate does not hold.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from orchestration.partitions import Cell
from orchestration.refs import read_ref
from orchestration.runner import open_session, refresh
from sae.config import load_workspace
from sae.errors import AtlasError
from sae.evaluation.gates import gate_table, reached
from sae.storage import Store
from sae.table_files import read_table

FOLDER = Path(".demo/truth")
REPORT = Path("truth.json")
_UP_TO_EVALUATION = {
    "subject_model", "hookpoints", "corpus", "activations", "activation_set", "dictionary_candidate", "dictionary",
    "features", "evaluation",
}  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Measure the seeds named on the command line."""
    if not arguments or not all(argument.isdecimal() for argument in arguments):
        print("Name the seeds as whole numbers, for example: 11 12 13", file=sys.stderr)
        return 2
    evaluations: dict[tuple[int, str], pl.DataFrame] = {}
    for seed in map(int, arguments):
        print(f"seed {seed}", file=sys.stderr, flush=True)
        evaluations |= {(seed, recipe): frame for recipe, frame in measure(seed, FOLDER / str(seed)).items()}
    found = reached(evaluations)
    print(gate_table(found))
    report = {
        one.gate.metric: {
            "mean": one.mean,
            "worst": one.worst,
            "per_seed": one.per_seed,
            "interval": one.interval,
            "control": one.control,
            "dictionary": one.gate.recipe,
            "other_dictionaries": one.other_recipes,
            "must": one.gate.must,
            "goal": one.gate.goal,
            "holds": one.gate.holds(one.mean),
        }
        for one in found
    }
    REPORT.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0 if all(one.gate.holds(one.mean) for one in found) else 1


def measure(seed: int, folder: Path) -> dict[str, pl.DataFrame]:
    """The table `evaluation` of each recipe of the demo world's first site, made in `folder` with that seed.

    Raises AtlasError naming what could not be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    preset = yaml.safe_load((resources.files("orchestration") / "presets" / "world.yaml").read_text(encoding="utf-8"))
    path = folder / "atlas.yaml"
    path.write_text(yaml.safe_dump(first_site(preset) | {"seed": seed}, allow_unicode=True), encoding="utf-8")
    workspace = load_workspace(path)
    outcome = refresh(
        open_session(workspace),
        trigger="truth",
        select=lambda cell: cell.asset in _UP_TO_EVALUATION,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    if outcome.failed:
        cell, error = next(iter(outcome.failed.items()))
        raise AtlasError(f"Seed {seed}: {cell} was not made: {error}")
    site = workspace.config.sites[0].name
    return {
        recipe: _evaluation(Store(workspace.store), f"{site}.{recipe}")
        for place, recipe in workspace.config.pairs().values()
        if place == site
    }


def first_site(preset: Mapping[str, Any]) -> dict[str, Any]:
    """A config with its first site alone, and the recipes that are trained there."""
    site = preset["sites"][0]
    name = f"{site['model']}.{site['hookpoint']}"
    recipes = {
        recipe: config for recipe, config in preset["dictionaries"].items() if name in config.get("sites", [name])
    }
    return {**preset, "sites": [site], "dictionaries": recipes}


def _evaluation(store: Store, pair: str) -> pl.DataFrame:
    ref = read_ref(store, Cell("evaluation", pair))
    if ref is None:
        raise AtlasError(f"{pair} has no evaluation: its dictionary did not pass the checks (see `atlas status`).")
    return read_table(store.verify(ref.files["evaluation"]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
