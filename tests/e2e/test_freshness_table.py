"""Each row of the freshness table, by Dagster's event log: what depends on a change is made again, and nothing else."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from freshness_cases import CASES, EVERYTHING, HELD_OUT, NEW_TEXT, RECIPES, TEXTS, Case, platform
from tiny_pipeline import SITE, Edit, made_since, run, write_config

import assets.neighbors
from orchestration.asset import made as declare
from orchestration.partitions import Cell
from orchestration.refs import Ref, read_ref
from orchestration.runner import open_session
from sae.config import load_workspace
from sae.storage import Store

pytestmark = pytest.mark.slow


def both(first: Edit, second: Edit) -> Edit:
    def edit(config):
        first(config)
        second(config)

    return edit


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> Path:
    """A platform brought up to date once. Only copy it."""
    folder = tmp_path_factory.mktemp("files")
    for name, text in TEXTS.items():
        (folder / name).write_text(text)
    outcome = run(write_config(folder, platform))
    assert outcome.failed == {}
    return folder


@pytest.mark.parametrize("case", CASES, ids=[case.change for case in CASES])
def test_what_a_change_makes_again(case: Case, first, tmp_path, monkeypatch):
    monkeypatch.delenv("ATLAS_STORE", raising=False)
    folder = tmp_path / "place"
    shutil.copytree(first, folder)
    config = write_config(folder, both(platform, case.edit))
    _, cursor = made_since(config, 0)
    case.touch(folder)
    if case.code:
        monkeypatch.setattr(assets.neighbors, "made", of_another_version(case.code))

    outcome = run(config)

    made, _ = made_since(config, cursor)
    counted = Counter(cell.split("[")[0] for cell in made)
    assert outcome.failed == {}
    if case.made == (EVERYTHING,):
        # Texts that are drawn by no seed are read again by another model, and not cut again.
        standings = open_session(load_workspace(config)).plan().standings
        assert counted.keys() == {standing.cell.asset for standing in standings}
    else:
        assert counted == case.cells()
    assert len(made) == len(set(made)), "nothing is made twice"
    assert run(config).made == []


@pytest.fixture
def held_out_changed(first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The platform with another document in a held-out shard."""
    monkeypatch.delenv("ATLAS_STORE", raising=False)
    folder = tmp_path / "place"
    shutil.copytree(first, folder)
    (folder / HELD_OUT).write_text(NEW_TEXT)
    return folder


def test_a_held_out_document_trains_nothing_and_is_measured(held_out_changed):
    before = current(held_out_changed)

    run(write_config(held_out_changed, platform))

    after = current(held_out_changed)
    assert [ref.data_version for ref in after] == [ref.data_version for ref in before]
    assert len(after) == len(RECIPES)
    assert all(new.facts["quality"] != old.facts["quality"] for new, old in zip(after, before, strict=True))
    assert all(new.input_version != old.input_version for new, old in zip(after, before, strict=True))


def test_a_held_out_document_on_which_a_dictionary_is_worse_leaves_it_current_and_whole(held_out_changed):
    before, store = current(held_out_changed), Store(str(held_out_changed / "store"))
    config = write_config(held_out_changed, both(platform, lambda c: c["checks"].update(fvu=1e-6)))

    outcome = run(config)

    after = current(held_out_changed)
    assert outcome.failed == {}
    assert [ref.input_version for ref in after] == [ref.input_version for ref in before]
    assert [ref.facts["rejected"]["candidate"] for ref in after] == [ref.data_version for ref in before]
    assert all(store.verify(file) for ref in after for file in ref.files.values())
    assert run(config).made == []


def current(folder: Path) -> list[Ref]:
    """What the gate holds of each recipe."""
    refs = [read_ref(Store(str(folder / "store")), Cell("dictionary", f"{SITE}.{recipe}")) for recipe in RECIPES]
    return [ref for ref in refs if ref is not None]


def of_another_version(asset: str) -> Any:
    def made(keys: Any, name: str, **options: Any) -> Any:
        given: Any = options | ({"code_version": "another"} if name == asset else {})
        return declare(keys, name, **given)

    return made
