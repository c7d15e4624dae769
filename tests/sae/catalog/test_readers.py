import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from catalog_fixture import LARGE, small_frames, small_parquet

from sae.catalog import open_catalog
from sae.catalog.parquet import write_parquet
from sae.catalog.publish import build_candidate, publish
from sae.catalog.versions import list_versions, prune
from sae.storage import Store

N_READERS = 3
READER = """
import sys
import time
from pathlib import Path
from sae.catalog import open_catalog
from sae.storage import Store
store, stop, me = Store(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
queries, versions = 0, set()
while not stop.exists():
    with open_catalog(store) as catalog:
        versions.add(catalog.version)
        for _ in range(3):
            n = catalog.sql("select count(*) from features join current_labels using (feature_id)").item()
            m = catalog.sql("select count(*) from examples where feature_id = 'aaaa000011112222:3'").item()
            assert (n, m) == (118, 20), (n, m)
            queries += 2
    me.write_text(str(queries))
    time.sleep(0.05)
print(queries, len(versions))
"""


def test_readers_never_see_half_a_catalog(small_store: Path, tmp_path: Path):
    shutil.copytree(small_store, tmp_path / "store")
    store = Store(str(tmp_path / "store"))
    frames, parquet, stop = small_frames(store), small_parquet(store), tmp_path / "stop"
    beats = [tmp_path / f"reader-{number}" for number in range(N_READERS)]
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READER, store.root, str(stop), str(beat)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for beat in beats
    ]
    try:
        while not all(beat.exists() for beat in beats) and all(reader.poll() is None for reader in readers):
            time.sleep(0.05)
        for _ in range(4):
            publish(store, build_candidate(store, frames, parquet, {}))
            prune(store)
    finally:
        stop.touch()
    outputs = [reader.communicate(timeout=60) for reader in readers]

    assert [reader.returncode for reader in readers] == [0] * N_READERS, outputs
    assert len(list_versions(store)) == 3
    print("queries and versions of each reader:", [output.strip() for output, _ in outputs])


def test_a_features_rows_are_found_in_a_million(small_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    shutil.copytree(small_store, tmp_path / "store")
    store = Store(str(tmp_path / "store"))
    n_features, each = 40_000, 25
    index = np.repeat(np.arange(n_features, dtype=np.int32), each)
    rank = np.tile(np.arange(1, each + 1, dtype=np.int32), n_features)
    rows = pl.DataFrame({"index": index, "rank": rank}).select(
        (f"{LARGE}:" + pl.col("index").cast(pl.String)).alias("feature_id"),
        pl.lit(LARGE).alias("dictionary_id"),
        "index",
        "rank",
        (f"{LARGE}:" + pl.col("rank").cast(pl.String)).alias("neighbor_id"),
        (1 / pl.col("rank")).alias("similarity"),
        pl.lit("same").alias("scope"),
    )
    file = write_parquet(store, "neighbors", LARGE, rows)
    version = build_candidate(store, small_frames(store), small_parquet(store) | {"neighbors": [file]}, {})

    by_index = 'select * from neighbors where dictionary_id = ? and "index" = ?'
    by_id = "select * from neighbors where feature_id = ?"
    times: dict[str, list[float]] = {"by dictionary and index": [], "by feature_id": []}
    with open_catalog(store, version) as catalog:
        for wanted in range(0, n_features, 4_000):
            started = time.perf_counter()
            assert len(catalog.sql(by_index, [LARGE, wanted])) == each
            half = time.perf_counter()
            assert len(catalog.sql(by_id, [f"{LARGE}:{wanted}"])) == each
            times["by dictionary and index"].append(half - started)
            times["by feature_id"].append(time.perf_counter() - half)

    with capsys.disabled():
        print(f"\none of {n_features * each:,} rows' features:", end=" ")
        print(", ".join(f"{name} {1000 * np.median(found):.1f} ms" for name, found in times.items()))
