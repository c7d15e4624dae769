"""A run that is killed goes on where it was: a harvest at its shard, a training at its checkpoint."""

import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_pipeline import SITE, atlas, atlas_command, environment, made_since, write_config

from orchestration.partitions import Cell
from orchestration.refs import Ref, read_ref
from orchestration.runner import open_session, refresh
from sae.config import load_workspace
from sae.storage import Store

HARVEST = "subject_model,hookpoints,corpus,activations"


def run_until(config: Path, reached: Callable[[], bool], *arguments: str) -> None:
    """Start `atlas run` and kill it as soon as that is so."""
    with subprocess.Popen(
        atlas_command("run", *arguments),
        env=environment(config),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        while not reached():
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)


def test_a_killed_harvest_keeps_the_shards_that_it_finished(tmp_path):
    def more_shards(config):
        config["models"]["world-lm"]["steps"] = 2
        config["corpora"]["world"].update(shards=12, documents=1200)

    config = write_config(tmp_path, more_shards)
    refs = tmp_path / "store" / "refs" / "activations"

    run_until(config, lambda: len(list(refs.glob("*.json"))) >= 2, "--select", HARVEST)
    kept = {path.stem for path in refs.glob("*.json")}
    assert 2 <= len(kept) < 12
    _, cursor = made_since(config, 0)
    again = atlas(config, "run", "--select", HARVEST)
    made, _ = made_since(config, cursor)

    assert again.returncode == 0, again.stderr
    harvested = {name for name in made if name.startswith("activations[")}
    assert len(list(refs.glob("*.json"))) == 12
    assert not harvested & {f"activations[{shard}]" for shard in kept}


@pytest.mark.slow
def test_a_training_that_was_killed_ends_with_the_weights_of_one_that_was_not(tmp_path):
    def one_long_training(config):
        config["models"]["world-lm"]["steps"] = 2
        recipe = {"architecture": "batchtopk", "latents": 256, "k": 4, "tokens": 150_000, "checkpoint_every": 0.5}
        config["dictionaries"] = {"long": recipe}

    killed, whole = tmp_path / "killed", tmp_path / "whole"
    killed.mkdir()
    config = write_config(killed, one_long_training)
    before = atlas(config, "run", "--select", f"{HARVEST},activation_set")
    assert before.returncode == 0, before.stderr
    shutil.copytree(killed, whole)

    checkpoints = killed / "store" / "checkpoints"
    run_until(config, lambda: len(list(checkpoints.glob("*/*.json"))) >= 1, "--select", "dictionary_candidate")
    ends = [atlas(folder / "atlas.yaml", "run", "--select", "dictionary_candidate") for folder in (killed, whole)]

    assert [end.returncode for end in ends] == [0, 0], ends[0].stderr + ends[1].stderr
    resumed, uninterrupted = (candidate(folder / "store") for folder in (killed, whole))
    assert resumed.data_version == uninterrupted.data_version
    assert resumed.build_key == uninterrupted.build_key
    assert resumed.files["sae_weights.safetensors"] == uninterrupted.files["sae_weights.safetensors"]


def candidate(store: Path) -> Ref:
    """The only dictionary candidate of a store."""
    ref = read_ref(Store(str(store)), Cell("dictionary_candidate", f"{SITE}.long"))
    assert ref is not None
    return ref


def test_what_a_kill_left_in_the_scratch_folder_is_removed_when_the_next_run_begins(place):
    workspace = load_workspace(place.config)
    left = workspace.scratch / "left"
    left.mkdir(parents=True)
    (left / "sae_weights.safetensors").write_bytes(b"half of one")

    refresh(open_session(workspace), trigger="test", select=lambda cell: False)

    assert not left.exists()
