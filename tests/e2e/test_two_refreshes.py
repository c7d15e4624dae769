"""Two refreshes started at once: one makes what is stale, the other waits, and nothing is made twice."""

import subprocess
import sys

from tiny_pipeline import atlas_command, environment, made_since, write_config

REFRESH = """
import sys
from orchestration.runner import open_session, refresh
from sae.config import load_workspace
outcome = refresh(open_session(load_workspace()), trigger="test", wait_s=500)
print(len(outcome.made), len(outcome.failed))
"""


def change(config):
    config["prompts"][0]["target"] = "Boston"


def test_refreshes_of_the_daemon_started_at_once_share_the_work(place):
    _, cursor = made_since(place.config, 0)
    config = write_config(place.folder, change)
    both = [
        subprocess.Popen([sys.executable, "-c", REFRESH], env=environment(config), stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]

    printed = [process.communicate(timeout=550)[0].split() for process in both]

    made, _ = made_since(config, cursor)
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(printed) == [["0", "0"], ["7", "0"]]
    assert len(made) == len(set(made)) == 7


def test_a_command_beside_a_refresh_says_so_and_writes_nothing(place):
    config = write_config(place.folder, change)
    _, cursor = made_since(place.config, 0)
    both = [
        subprocess.Popen(atlas_command("run"), env=environment(config), stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]

    said = [process.communicate(timeout=550)[1] for process in both]

    made, _ = made_since(config, cursor)
    assert len(made) == len(set(made)) == 7
    for process, words in zip(both, said, strict=True):
        # The later one may find the lock free again, and nothing to do.
        assert process.returncode == 0 or "Another run writes to" in words
    assert any(process.returncode == 0 for process in both)
