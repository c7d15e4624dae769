"""A harvest that is killed goes on at the shard where it was."""

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tiny_pipeline import atlas, atlas_command, environment, made_since, write_config

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
