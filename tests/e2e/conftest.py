"""The tiny pipeline, run once; tests that change something take a copy."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest
from filelock import FileLock
from tiny_pipeline import atlas, write_config

from orchestration.cli import main
from orchestration.partitions import Cell
from orchestration.refs import Ref, read_ref
from sae.storage import Store


@dataclass(frozen=True)
class Place:
    """A folder with a config, its store and its state."""

    folder: Path

    @property
    def config(self) -> Path:
        """The config file."""
        return self.folder / "atlas.yaml"

    @property
    def store(self) -> Store:
        """The store."""
        return Store(str(self.folder / "store"))

    def ref(self, asset: str, partition: str | None = None) -> Ref:
        """What a cell holds now."""
        found = read_ref(self.store, Cell(asset, partition))
        assert found is not None, (asset, partition)
        return found


@dataclass(frozen=True)
class FirstRun(Place):
    """The place of the first run, with what it printed."""

    stdout: str
    stderr: str


@pytest.fixture(scope="session")
def first_run(whole_session: Path) -> FirstRun:
    """`atlas run` from nothing, as a process of its own. Only read it."""
    folder = whole_session / "tiny"
    printed = whole_session / "tiny.json"
    # Whichever of the processes that share the tests comes first makes it for all.
    with FileLock(whole_session / "tiny.lock"):
        if not printed.exists():
            folder.mkdir(exist_ok=True)
            done = atlas(write_config(folder), "run")
            assert done.returncode == 0, done.stdout + done.stderr
            printed.write_text(json.dumps([done.stdout, done.stderr]))
    return FirstRun(folder, *json.loads(printed.read_text()))


@pytest.fixture
def place(first_run: FirstRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A copy of the first run's folder, to change at will; this process works on its config."""
    folder = tmp_path / "place"
    shutil.copytree(first_run.folder, folder)
    monkeypatch.setenv("ATLAS_CONFIG", str(folder / "atlas.yaml"))
    monkeypatch.delenv("ATLAS_STORE", raising=False)
    return Place(folder)


@pytest.fixture
def reading(first_run: FirstRun, monkeypatch: pytest.MonkeyPatch) -> FirstRun:
    """The first run, with this process working on its config; for commands that only read."""
    monkeypatch.setenv("ATLAS_CONFIG", str(first_run.config))
    monkeypatch.delenv("ATLAS_STORE", raising=False)
    return first_run


class Answer(NamedTuple):
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Runs `atlas …` in this process."""

    def call(*arguments: str) -> Answer:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main(arguments)
        assert isinstance(left.value.code, int)
        printed = capsys.readouterr()
        return Answer(left.value.code, printed.out, printed.err)

    return call
