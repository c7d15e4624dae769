"""What a user gets wrong, and what a machine does wrong: a clear error, the exit code, and a store unharmed."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file, save_file
from tiny_pipeline import SITE, atlas_command, environment, run, write_config

from orchestration.io_managers import write_frame
from orchestration.refs import write_ref
from sae.config import load_workspace
from sae.errors import AtlasError
from sae.storage import Store, StoredFile


def flip_the_last_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file of the store."""
    store = folder / "store"
    return {
        str(f.relative_to(store)): (f.stat().st_size, f.stat().st_mtime_ns) for f in store.rglob("*") if f.is_file()
    }


def short(error: str) -> bool:
    return "Traceback" not in error and all(len(line) < 400 for line in error.splitlines())


def test_a_hookpoint_that_the_model_lacks(place, command):
    write_config(place.folder, lambda config: config["sites"][0].update(hookpoint="layers.9"))

    ran = command("run")

    assert ran.code == 1
    assert "failed: hookpoints[world-lm.layers.9]" in ran.err
    assert "layers.1" in ran.err
    assert "layers.6" in ran.err
    assert short(ran.err)
    assert command("sql", "select 1").code == 0, "readers keep the last good catalog"


@pytest.mark.parametrize(
    ("paths", "words"),
    [(["nowhere/*.txt"], "No file matches 'nowhere/*.txt'"), (["empty.txt"], "empty.txt")],
)
def test_an_empty_corpus(paths, words, place, command):
    (place.folder / "empty.txt").write_text(" \n")
    before = snapshot(place.folder)

    def empty(config):
        config["corpora"]["mine"] = {"source": "files", "paths": paths}
        config["sites"][0]["corpora"] = ["mine"]

    write_config(place.folder, empty)

    ran = command("run")

    assert ran.code == 1
    assert words in ran.err
    assert short(ran.err)
    after = snapshot(place.folder)
    assert {path: after.get(path) for path in before if not path.startswith("refs/")} == {
        path: was for path, was in before.items() if not path.startswith("refs/")
    }


def test_a_damaged_shard_is_named_and_made_again_once_deleted(place, command):
    shard = place.store.local(place.ref("corpus", "world-00001").files["documents"].path)
    flip_the_last_byte(shard)

    ran = command("run", "--select", "activations", "--force")

    assert ran.code == 1
    assert f"{shard.name} is damaged" in ran.err
    assert "Delete it and run `atlas run`" in ran.err
    assert short(ran.err)
    shard.unlink()
    assert command("run").code == 0
    assert command("status").out.startswith("36 of 36 are fresh.\n")


def test_a_damaged_ref_is_named(place, command):
    (place.folder / "store" / "refs" / "corpus" / "world-00000.json").write_text("{")

    ran = command("run")

    assert ran.code == 1
    assert "refs/corpus/world-00000.json is damaged" in ran.err
    assert short(ran.err)


def test_a_nan_among_the_activations(place, command):
    ref = place.ref("activations", f"world-00000|{SITE}")
    path = place.store.local(ref.files["tensors"].path)
    tensors = {name: np.array(tensor) for name, tensor in load_file(path).items()}
    tensors["activations"][3, 5] = np.nan
    save_file(tensors, path)
    # The hash is the right one: a value that was wrong from the start, not a file that was damaged.
    written = place.store.describe(ref.files["tensors"].path)
    write_ref(place.store, replace(ref, files=ref.files | {"tensors": written}))
    manifest = place.ref("activation_set", SITE)
    for entry in manifest.facts["activation_set"]["shards"]:
        if entry["record"]["shard"] == "world-00000":
            entry["record"]["tensors"] = asdict(written)
    write_ref(place.store, manifest)
    write_config(place.folder, lambda config: config["dictionaries"]["small"].update(k=3))

    ran = command("run")

    assert ran.code == 1
    assert f"failed: dictionary_candidate[{SITE}.small]" in ran.err
    assert "NaN" in ran.err or "not finite" in ran.err
    assert short(ran.err)


def test_no_catalog_yet(tmp_path, monkeypatch, command):
    monkeypatch.setenv("ATLAS_CONFIG", str(write_config(tmp_path)))

    for arguments in (["sql", "select 1"], ["search", "x"], ["feature", "x:0"], ["audit", "x"], ["activate", "x"]):
        asked = command(*arguments)
        assert asked.code == 1, arguments
        assert "`atlas run`" in asked.err, arguments
        assert short(asked.err)
        assert asked.err.count("\n") <= 2
    assert command("doctor").code == 1


def test_a_catalog_of_another_schema_version(place, command):
    (path,) = (place.folder / "store" / "catalog").glob("catalog-*.duckdb")
    with duckdb.connect(str(path)) as connection:
        connection.execute("update atlas set value = '99' where key = 'schema_version'")

    asked = command("sql", "select 1")

    assert asked.code == 1
    assert "schema version 99" in asked.err
    assert short(asked.err)


def test_a_store_of_another_schema_version(place, command):
    (place.folder / "store" / "SCHEMA").write_text("99\n")
    before = snapshot(place.folder)

    ran = command("run")

    assert ran.code == 1
    assert "schema version 99" in ran.err
    assert snapshot(place.folder) == before


def test_a_second_writer_is_turned_away(place, command):
    hold = (
        "import sys; from filelock import FileLock\n"
        "with FileLock(sys.argv[1]): print('held', flush=True); sys.stdin.read()"
    )
    lock = load_workspace(place.config).state / "lock"
    before = snapshot(place.folder)
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"

        ran = command("run", "--force")
        read = command("sql", "select count(*) from features")
        other.communicate()

    assert ran.code == 1
    assert "Another run writes to" in ran.err
    assert short(ran.err)
    assert read.code == 0, "readers do not wait"
    assert snapshot(place.folder) == before
    assert command("run").code == 0


def test_killed_in_the_middle_a_run_goes_on_the_next_time(tmp_path):
    def smaller(config):
        config["models"]["world-lm"]["steps"] = 2
        config["corpora"]["world"]["documents"] = 80
        del config["dictionaries"]["small"]
        config.update(steering={"max_features": 0}, scorers=[])

    config = write_config(tmp_path, smaller)
    leftover = tmp_path / "store" / "models" / ".writing-1-weights.safetensors"
    with subprocess.Popen(
        atlas_command("run"), env=environment(config), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as first:
        assert first.stderr is not None
        until(first.stderr, "activations [world-00000|")
        first.send_signal(signal.SIGKILL)
    assert not (tmp_path / "store" / "catalog").exists()
    leftover.parent.mkdir(exist_ok=True)
    leftover.write_bytes(b"half")
    said: list[str] = []

    outcome = run(config, said)

    assert outcome.failed == {}
    assert not [line for line in said if line.startswith("subject_model")], "what was made is used again"
    assert (tmp_path / "store" / "catalog" / "CURRENT").exists()
    assert not list((tmp_path / "store").rglob(".writing-*"))
    assert run(config).made == []


def until(lines, wanted: str) -> None:
    for line in lines:
        if line.startswith(wanted):
            return
    raise AssertionError(f"no line starts with {wanted!r}")


@pytest.fixture
def full_disk(tmp_path: Path):
    """Mounts a file system of some kB; skips where that is not allowed."""
    mounted = []

    def mount(kilobytes: int) -> Path:
        folder = tmp_path / f"disk-{len(mounted)}"
        folder.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)], capture_output=True, check=False
        )
        if done.returncode != 0:
            pytest.skip("mounting a small file system needs root")
        mounted.append(folder)
        return folder

    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("kilobytes", [256, 1500])
def test_a_full_disk_stops_the_run_in_words(
    kilobytes, full_disk: Callable[[int], Path], tmp_path, command, monkeypatch
):
    disk, scratch = full_disk(kilobytes), tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    config = write_config(tmp_path, lambda config: config.update(store=str(disk / "store")))
    monkeypatch.setenv("ATLAS_CONFIG", str(config))
    monkeypatch.delenv("ATLAS_STORE", raising=False)

    ran = command("run")

    assert ran.code == 1
    assert "No space left" in ran.err
    assert short(ran.err)
    assert not list(disk.rglob(".writing-*"))
    assert not list(scratch.glob("feature-atlas-*"))


def test_a_full_disk_says_so_for_every_kind_of_file(full_disk: Callable[[int], Path]):
    import torch
    from hand_made import make_shard

    from sae.activations.shard import save_shard
    from sae.catalog.publish import build_candidate

    store = Store(str(full_disk(64) / "store"))
    noise = np.random.default_rng(0).random(200_000)

    def a_table() -> StoredFile:
        return write_frame(store, "tables/t.parquet", pl.DataFrame({"x": noise}))

    def activations() -> None:
        shard = make_shard(torch.zeros(2_000, 64))
        with store.writing("a.safetensors") as tensors, store.writing("a.parquet") as tokens:
            save_shard(shard, tensors, tokens)

    def a_catalog() -> str:
        return build_candidate(store, {}, {}, {})

    for write in (a_table, activations, a_catalog):
        with pytest.raises(AtlasError, match=r"[Nn]o space left|[Dd]isk|cannot be written"):
            write()
        assert not list(Path(store.root).rglob(".writing-*")), write
