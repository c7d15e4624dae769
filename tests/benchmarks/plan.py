"""What a refresh costs beside its work: 200 small shards × 4 sites × 3 recipes, made, looked at again, and changed.

python tests/benchmarks/plan.py [--shards N] [--keep FOLDER] [--json]

Everything runs as in a real workspace, on a model of one training step and shards of some hundred tokens, so that the
seconds a materialisation are an upper bound of the overhead: what is made is in them too.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import yaml

from orchestration.runner import Outcome, Session, open_session, refresh
from sae.config import load_workspace
from sae.world.documents import world_documents

DOCUMENTS = 20
"""Sentences of a shard."""
CONFIG = {
    "store": "store",
    "state": "state",
    "models": {"w": {"source": "world", "steps": 1}},
    "corpora": {"mine": {"source": "files", "paths": ["texts/*.txt"], "shards": 2}},
    "sites": [{"model": "w", "hookpoint": f"layers.{layer}", "corpora": ["mine"]} for layer in range(1, 5)],
    "dictionaries": {f"k{k}": {"architecture": "topk", "latents": 64, "k": k, "tokens": 20_480} for k in (2, 4, 8)},
    "checks": {"fvu": 1.0, "dead": 1.0, "loss_recovered": -100, "worse_by": 100},
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shards", type=int, default=200)
    parser.add_argument("--keep", type=Path, help="A folder to work in, kept; a temporary one without it.")
    parser.add_argument("--json", action="store_true", help="Print one JSON object.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        figures = measure(given.keep or Path(temporary), given.shards)
    if given.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:40} {value:,.3f}")


def measure(folder: Path, n_shards: int) -> dict[str, float]:
    """Make everything by kind of asset, then time a refresh that finds nothing to do, and one after a changed file."""
    session = open_session(load_workspace(write_workspace(folder, n_shards)))
    figures: dict[str, float] = {}
    started = time.perf_counter()
    figures["cells"] = float(len(session.plan().standings))
    figures["first_plan_s"] = time.perf_counter() - started
    total = 0
    for name, chosen in (("corpus", {"corpus"}), ("activations", {"activations"}), ("rest", None)):
        upstream = {"subject_model", "hookpoints"} if name == "activations" else set()
        if upstream:
            _refreshed(session, upstream)
        made, wall, cpu = _timed(lambda chosen=chosen: _refreshed(session, chosen))
        figures |= {
            f"{name}_made": float(made),
            f"{name}_s": wall,
            f"{name}_s_per_materialisation": wall / made,
            f"{name}_cpu_s_per_materialisation": cpu / made,
        }
        total += made + len(upstream)
    home = folder / "state" / "dagster"
    log_bytes = sum(path.stat().st_size for path in home.rglob("*") if path.is_file())
    figures["event_log_kb_per_materialisation"] = log_bytes / 1024 / total
    made, figures["no_change_tick_s"], figures["no_change_tick_cpu_s"] = _timed(lambda: _refreshed(session, None))
    if made:
        raise SystemExit(f"{made} cells were stale after a whole refresh")
    changed = folder / "texts" / f"{n_shards // 2:05d}.txt"
    changed.write_text(changed.read_text() + changed.read_text().splitlines()[0] + "\n")
    made, figures["changed_file_s"], figures["changed_file_cpu_s"] = _timed(lambda: _refreshed(session, None))
    figures["changed_file_made"] = made
    return figures


def write_workspace(folder: Path, n_shards: int) -> Path:
    """A config with a folder of `n_shards` texts, each of which becomes a shard; returns the config's path."""
    (folder / "texts").mkdir(parents=True, exist_ok=True)
    drawn = world_documents(0, 0, 2 * DOCUMENTS * n_shards).filter(pl.col("modality") == "text")["text"].to_list()
    for number in range(n_shards):
        lines = drawn[number * DOCUMENTS : (number + 1) * DOCUMENTS]
        (folder / "texts" / f"{number:05d}.txt").write_text("\n".join(lines) + "\n")
    path = folder / "atlas.yaml"
    path.write_text(yaml.safe_dump(CONFIG))
    os.environ.pop("ATLAS_STORE", None)
    return path


def _refreshed(session: Session, assets: set[str] | None) -> int:
    """Refresh some assets, or all of them; how many cells were made. Ends the program where one fails."""
    outcome: Outcome = refresh(
        session, trigger="benchmark", select=lambda cell: assets is None or cell.asset in assets, say=_say
    )
    if outcome.failed:
        raise SystemExit(str(outcome.failed))
    return len(outcome.made)


def _say(line: str) -> None:
    print(f"{time.process_time():8.1f} s  {line}", file=sys.stderr, flush=True)


def _timed(work: Callable[[], int]) -> tuple[int, float, float]:
    """What some work returns, with its seconds by the clock and of processor time."""
    wall, cpu = time.perf_counter(), time.process_time()
    made = work()
    return made, time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    main()
