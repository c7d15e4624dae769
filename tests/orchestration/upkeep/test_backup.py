"""A backup and the way back: the same files, verified; nothing written over, nothing outside of its place."""

import io
import json
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tiny_pipeline import write_config

from orchestration.locking import writer_lock
from orchestration.upkeep.backup import MANIFEST, back_up, restore
from sae.config import Workspace, load_workspace
from sae.errors import AtlasError
from sae.storage import Store


def workspace(folder: Path, nested: bool = False) -> Workspace:
    folder.mkdir(parents=True)
    return load_workspace(write_config(folder, lambda c: c.update(state="store/state") if nested else None))


@pytest.fixture(params=[False, True], ids=["state beside the store", "state inside the store"])
def filled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Workspace]:
    """A workspace with a few files and a ledger that has a connection open, its last rows in the WAL."""
    made = workspace(tmp_path / "filled", request.param)
    store = Store(made.store)
    store.open_schema()
    store.write_bytes("refs/corpus/world-00000.json", b"{}")
    store.write_bytes("activations/a.b/x|y.safetensors", bytes(range(256)) * 999)
    store.write_bytes("tables/x.parquet.damaged", b"no")
    Path(made.store, "tables", ".writing-1-x").write_bytes(b"half")
    (made.state / "dagster").mkdir(parents=True)
    (made.state / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    ledger = sqlite3.connect(made.state / "ledger.sqlite", isolation_level=None)
    ledger.execute("pragma journal_mode = wal")
    ledger.execute("create table labels (label text)")
    ledger.execute("insert into labels values ('in the log')")
    yield made
    ledger.close()


def content(made: Workspace) -> dict[str, bytes]:
    """Every file but locks, databases, and what a backup leaves out."""
    found = {}
    for root in {made.store, str(made.state)}:
        for path in Path(root).rglob("*"):
            if (
                path.is_file()
                and not path.name.startswith((".writing", "ledger", "lock"))
                and path.suffix != ".damaged"
            ):
                found[path.relative_to(Path(made.store).parent).as_posix()] = path.read_bytes()
    return found


def nested(made: Workspace) -> bool:
    return made.state.is_relative_to(made.store)


def test_what_is_restored_is_what_was_backed_up(filled: Workspace, tmp_path: Path):
    file = tmp_path / "all.tar.gz"

    written = back_up(filled, file)
    there = workspace(tmp_path / "there", nested(filled))
    read = restore(there, file)

    assert content(there) == content(filled)
    with closing(sqlite3.connect(there.state / "ledger.sqlite")) as ledger:
        assert ledger.execute("select * from labels").fetchall() == [("in the log",)]
    assert (read.files, read.size, read.created_at) == (written.files, written.size, written.created_at)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".writing")] == []
    with tarfile.open(file) as tar:
        assert not [name for name in tar.getnames() if "writing" in name or "damaged" in name or name.endswith("lock")]


def test_a_store_given_as_a_url_of_a_folder_is_restored_there(filled: Workspace, tmp_path: Path):
    file = tmp_path / "all.tar"
    back_up(filled.model_copy(update={"store": f"file://{filled.store}"}), file)
    there = workspace(tmp_path / "there", nested(filled))

    restore(there.model_copy(update={"store": f"file://{there.store}"}), file)

    assert content(there) == content(filled)


def test_a_place_that_is_not_empty_is_refused(filled: Workspace, tmp_path: Path):
    back_up(filled, tmp_path / "all.tar")
    before = content(filled)

    with pytest.raises(AtlasError, match="is not empty"):
        restore(filled, tmp_path / "all.tar")

    assert content(filled) == before


def test_a_file_that_exists_or_lies_inside_is_not_written(filled: Workspace, tmp_path: Path):
    (tmp_path / "mine.tar").write_bytes(b"mine")

    with pytest.raises(AtlasError, match="exists"):
        back_up(filled, tmp_path / "mine.tar")
    with pytest.raises(AtlasError, match="inside what it is a copy of"):
        back_up(filled, Path(filled.store) / "all.tar")
    with pytest.raises(AtlasError, match="no folder"):
        back_up(filled, tmp_path / "nowhere" / "all.tar")

    assert (tmp_path / "mine.tar").read_bytes() == b"mine"


def test_nothing_is_backed_up_while_another_writes(filled: Workspace, tmp_path: Path):
    with writer_lock(filled).acquire():
        code = f"from sae.config import load_workspace; from orchestration.upkeep.backup import back_up; \
from pathlib import Path; back_up(load_workspace({str(filled.path)!r}), Path({str(tmp_path / 'all.tar')!r}))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 1
    assert "Another run writes to this store" in done.stderr
    assert not (tmp_path / "all.tar").exists()


def rewrite(file: Path, change) -> None:
    """Write an archive again, its members changed by `change(name, data) -> list of (TarInfo, data)`."""
    with tarfile.open(file) as tar:
        members = [(info, tar.extractfile(info).read() if info.isreg() else b"") for info in tar]  # type: ignore
    with tarfile.open(file, "w") as tar:
        for info, data in members:
            for one, its in change(info, data):
                one.size = len(its)
                tar.addfile(one, io.BytesIO(its))


def named(name: str, **facts: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in facts.items():
        setattr(info, key, value)
    return info


def also(info: tarfile.TarInfo, data: bytes = b""):
    return lambda one, its: [(one, its), (info, data)] if one.name == MANIFEST else [(one, its)]


BROKEN = {
    "its manifest is missing": lambda one, its: [] if one.name == MANIFEST else [(one, its)],
    "its hash is not the recorded one": lambda one, its: [(one, its[:-1] + b"!" if "refs/" in one.name else its)],
    "are not those of its manifest": lambda one, its: [] if "refs/" in one.name else [(one, its)],
    "'../outside.txt' has no place": also(named("../outside.txt"), b"x"),
    "'/tmp/outside.txt' has no place": also(named("/tmp/outside.txt"), b"x"),
    "'elsewhere/x' has no place": also(named("elsewhere/x"), b"x"),
    "'store/link' has no place": also(named("store/link", type=tarfile.SYMTYPE, linkname="/etc/passwd")),
    "outside": also(named("store/../../outside.txt"), b"x"),
    "its format is 99": lambda one, its: [
        (one, json.dumps(json.loads(its) | {"format": 99}).encode() if one.name == MANIFEST else its)
    ],
    "stands twice": lambda one, its: [(one, its), (one, its)] if "refs/" in one.name else [(one, its)],
}


@pytest.mark.parametrize("words", BROKEN)
@pytest.mark.parametrize("filled", [False], indirect=True)
def test_a_broken_archive_is_refused_in_words_and_leaves_nothing(words: str, filled: Workspace, tmp_path: Path):
    file = tmp_path / "all.tar"
    back_up(filled, file)
    rewrite(file, BROKEN[words])
    there = workspace(tmp_path / "there")

    with pytest.raises(AtlasError, match=words):
        restore(there, file)

    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == ["atlas.yaml"]
    assert not list(tmp_path.rglob("outside.txt"))


@pytest.mark.parametrize("filled", [False], indirect=True)
@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"no archive", lambda data: b""])
def test_an_archive_that_was_cut_off_is_refused(damage, filled: Workspace, tmp_path: Path):
    file = tmp_path / "all.tar"
    back_up(filled, file)
    file.write_bytes(damage(file.read_bytes()))

    with pytest.raises(AtlasError, match="is no whole backup"):
        restore(workspace(tmp_path / "there"), file)


@pytest.mark.parametrize("filled", [False], indirect=True)
def test_a_backup_of_a_newer_store_is_refused_and_an_older_one_is_taken(filled: Workspace, tmp_path: Path):
    Store(filled.store).write_bytes("SCHEMA", b"99\n")
    back_up(filled, tmp_path / "newer.tar")
    Store(filled.store).write_bytes("SCHEMA", b"1\n")
    back_up(filled, tmp_path / "older.tar")

    with pytest.raises(AtlasError, match="schema version 99"):
        restore(workspace(tmp_path / "newer"), tmp_path / "newer.tar")
    restore(workspace(tmp_path / "older"), tmp_path / "older.tar")

    assert not (tmp_path / "newer" / "store").exists()
    assert (tmp_path / "older" / "store" / "SCHEMA").read_bytes() == b"1\n"
