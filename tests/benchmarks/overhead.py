"""What a materialisation of a dictionary's asset costs beside the making of it, by the clock and in processor time.

python tests/benchmarks/overhead.py [--shards N] [--keep FOLDER] [--json]

Four sites and three recipes. The records of all cells are written by hand; the assets of the dictionaries are then run,
stage by stage as a refresh does, with nothing to make: the gate lets the same candidate through, and the others find
what they want and check its files.
"""

import argparse
import json
import os
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from orchestration.checks import CHECKS, CHECKS_FACT, Check
from orchestration.io_managers import write_frame
from orchestration.observing import register_shards, report_sources
from orchestration.partitions import PARTITIONED_BY, Cell
from orchestration.ranges import batches
from orchestration.refs import Ref, build_key, write_ref
from orchestration.resources import wanted_inputs
from orchestration.runner import Session, open_session, run_batch
from orchestration.sources import shards
from sae.config import load_workspace
from sae.storage import Store

D_MODEL = 64
MEAN = [0.123456789 * i for i in range(D_MODEL)]
CONFIG = {
    "store": "store",
    "state": "state",
    "models": {"w": {"source": "world", "steps": 1}},
    "corpora": {"mine": {"source": "files", "paths": ["texts/*.txt"], "shards": 2}},
    "sites": [{"model": "w", "hookpoint": f"layers.{layer}", "corpora": ["mine"]} for layer in range(4)],
    "dictionaries": {name: {"architecture": "topk", "latents": 64, "k": 4, "tokens": 2000} for name in "abc"},
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shards", type=int, default=20)
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
    """Write the records of all cells, then run the assets of the dictionaries."""
    (folder / "texts").mkdir(parents=True, exist_ok=True)
    for number in range(n_shards):
        (folder / "texts" / f"{number:05d}.txt").write_text(f"A short text, number {number}.\n")
    (folder / "atlas.yaml").write_text(yaml.safe_dump(CONFIG))
    os.environ.pop("ATLAS_STORE", None)
    session = open_session(load_workspace(folder / "atlas.yaml"))
    listed = shards(session.workspace)
    register_shards(session.workspace, session.instance, listed)
    report_sources(session.workspace, session.instance, listed)
    write_records(session)
    if stale := session.plan().ready():
        raise SystemExit(f"something is stale: {stale[0]}")
    return tell_again(session)


def tell_again(session: Session) -> dict[str, float]:
    """Run every asset of the dictionaries with nothing to make, those together that wait for the same assets."""
    keys, parents = session.keys(), session.graph.parents
    depth: dict[str, int] = {}
    for asset in session.graph.assets:
        if PARTITIONED_BY[asset] == "dictionary" and asset != "dictionary_candidate":
            depth[asset] = max((depth[up] + 1 for up in parents[asset] if up in depth), default=0)
    stages = [[asset for asset in depth if depth[asset] == level] for level in sorted(set(depth.values()))]
    n_runs = n_made = 0
    started, cpu = time.perf_counter(), time.process_time()
    for assets in stages:
        for batch in batches([cell for asset in assets for cell in keys.cells(asset)], keys):
            made, failed = run_batch(session, batch, "benchmark", show_progress=False)
            if failed:
                raise SystemExit(f"something failed: {failed}")
            n_runs, n_made = n_runs + 1, n_made + len(made)
    return {
        "materialisations": float(n_made),
        "runs": float(n_runs),
        "overhead_s_per_materialisation": (time.perf_counter() - started) / n_made,
        "overhead_cpu_s_per_materialisation": (time.process_time() - cpu) / n_made,
    }


def write_records(session: Session) -> None:
    """Write a ref for every cell, upstream first."""
    store, keys = Store(session.workspace.store), session.keys()
    for asset in session.graph.assets:
        cells = keys.cells(asset)
        inputs = wanted_inputs(session.workspace, keys, session.graph.parents[asset], cells)
        for cell in cells:
            version = session.graph.code_versions[asset]
            file = write_frame(
                store, f"synthetic/{asset}/{cell.partition}.parquet", pl.DataFrame({"cell": [str(cell)]})
            )
            key = build_key(cell, version, inputs[cell])
            # A gate's content is its candidate's.
            content = f"{Cell('dictionary_candidate', cell.partition) if asset == 'dictionary' else cell} v1"
            checks = [asdict(Check(name, True, 0.0, 1.0)) for name in CHECKS.get(asset, {})]
            known = facts(cell, keys) | {CHECKS_FACT: checks}
            ref = Ref(asset, cell.partition, content, key, version, inputs[cell], {"file": file}, known)
            write_ref(store, ref)


def facts(cell: Cell, keys: Any) -> dict[str, Any]:
    """Facts as large as the real ones: dictionaries pin the statistics of all their shards."""
    statistics = {"n_tokens": 1000, "n_trainable": 990, "sum_norm": 1.5, "sum_square": 2.5, "sum_vector": MEAN}
    if cell.asset == "activations":
        return {"statistics": statistics}
    if cell.asset in ("activation_set", "dictionary_candidate", "dictionary"):
        entries = [
            {"record": {"shard": shard, "data_version": "v", "statistics": statistics}, "split": "train"}
            for shard in keys.shards
        ]
        quality = {"fvu": 0.1, "dead_fraction": 0.0, "loss_recovered": 0.99}
        recipe = {"architecture": "topk"}
        return {
            "activation_set": {"shards": entries},
            "quality": quality,
            "recipe_config": recipe,
            "build_key": str(cell),
        }
    return {}


if __name__ == "__main__":
    main()
