"""How long a refresh plans when nothing changed, and what each materialisation costs beside the making.

python tests/benchmarks/plan.py [--shards N] [--keep FOLDER] [--json]

A corpus of N small files, four sites and three recipes. The corpus is made through Dagster, so that its seconds a
partition are an upper bound of the overhead: its own work is reading one short text. All other artifacts are written by
hand with facts of a real size, since planning looks at records only.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from orchestration.partitions import Cell
from orchestration.refs import Ref, build_key, write_ref
from orchestration.resources import wanted_inputs
from orchestration.runner import Session, open_session, refresh
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
    """Make the corpus, write the other records, and time a refresh that finds nothing to do."""
    (folder / "texts").mkdir(parents=True, exist_ok=True)
    for number in range(n_shards):
        (folder / "texts" / f"{number:05d}.txt").write_text(f"A short text, number {number}.\n")
    (folder / "atlas.yaml").write_text(yaml.safe_dump(CONFIG))
    os.environ.pop("ATLAS_STORE", None)
    session = open_session(load_workspace(folder / "atlas.yaml"))
    started, cpu = time.perf_counter(), time.process_time()
    made = refresh(session, trigger="benchmark", select=lambda cell: cell.asset == "corpus").made
    corpus_s, corpus_cpu_s = time.perf_counter() - started, time.process_time() - cpu
    cells = write_the_rest(session)
    started = time.perf_counter()
    outcome = refresh(session, trigger="benchmark")
    tick_s = time.perf_counter() - started
    if outcome.made or outcome.failed:
        raise SystemExit(f"something was stale: {outcome}")
    started = time.perf_counter()
    session.plan()
    plan_s = time.perf_counter() - started
    home = folder / "state" / "dagster"
    log_bytes = sum(path.stat().st_size for path in home.rglob("*") if path.is_file())
    return {
        "cells": float(cells),
        "no_change_tick_s": tick_s,
        "plan_s": plan_s,
        "materialisations": float(len(made)),
        "overhead_s_per_materialisation": corpus_s / max(1, len(made)),
        "overhead_cpu_s_per_materialisation": corpus_cpu_s / max(1, len(made)),
        "event_log_kb_per_materialisation": log_bytes / 1024 / max(1, len(made)),
    }


def write_the_rest(session: Session) -> int:
    """Write a ref for every cell but the corpus's, upstream first; returns the number of all cells."""
    store, keys = Store(session.workspace.store), session.keys()
    count = 0
    for asset in session.graph.assets:
        cells = keys.cells(asset)
        count += len(cells)
        if asset == "corpus":
            continue
        inputs = wanted_inputs(session.workspace, keys, session.graph.parents[asset], cells)
        for cell in cells:
            version = session.graph.code_versions[asset]
            file = store.write_bytes(f"synthetic/{asset}/{cell.partition}.bin", str(cell).encode())
            key = build_key(cell, version, inputs[cell])
            ref = Ref(
                asset, cell.partition, f"{cell} v1", key, version, inputs[cell], {"file": file}, facts(cell, keys)
            )
            write_ref(store, ref)
    return count


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
        return {"activation_set": {"shards": entries}, "quality": {"fvu": 0.1}}
    return {}


if __name__ == "__main__":
    main()
