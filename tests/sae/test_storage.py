"""Files are written whole or not at all, inside the store or nowhere."""

import errno
import os
import tempfile

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st

from sae.errors import AtlasError, DamagedFileError
from sae.storage import Store


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "store"))


def write_and_fail(store, path, error):
    with store.writing(path) as temporary:
        temporary.write_bytes(b"the first bytes")
        raise error


def files_of(store):
    return sorted(name for _, _, names in os.walk(store.root) for name in names)


def test_what_is_written_is_read(store):
    written = store.write_bytes("tables/features/a.parquet", b"rows")

    assert store.read_bytes("tables/features/a.parquet") == b"rows"
    assert store.verify(written).read_bytes() == b"rows"
    assert store.files_in("tables/features") == ["tables/features/a.parquet"]


def test_a_block_that_fails_leaves_the_old_file_and_no_other(store):
    store.write_bytes("CURRENT", b"1")

    with pytest.raises(RuntimeError, match="killed"):
        write_and_fail(store, "CURRENT", RuntimeError("killed"))

    assert store.read_bytes("CURRENT") == b"1"
    assert files_of(store) == ["CURRENT"]


def test_a_full_disk_is_said_in_words_and_leaves_nothing(store):
    with pytest.raises(AtlasError, match="No space left for models/weights"):
        write_and_fail(store, "models/weights", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    assert files_of(store) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_real_full_device_is_said_in_words(store):
    def write_to_the_full_device():
        with store.writing("models/weights"), open("/dev/full", "wb") as full:
            full.write(b"x" * 100_000)

    with pytest.raises(AtlasError, match="No space left"):
        write_to_the_full_device()


def test_a_damaged_file_is_named(store):
    written = store.write_bytes("corpora/a.parquet", b"rows")
    store.local("corpora/a.parquet").write_bytes(b"r0ws")

    with pytest.raises(AtlasError, match=r"corpora/a.parquet is damaged"):
        store.verify(written)


@given(st.lists(st.sampled_from(["..", "a", ".", "b"]), min_size=1, max_size=6).map("/".join))
def test_no_path_leaves_the_store(tmp_path_factory, path):
    store = Store(str(tmp_path_factory.mktemp("outer") / "store"))

    if ".." in path.split("/") or not path.strip("./"):
        with pytest.raises(AtlasError, match="not a path inside the store"):
            store.exists(path)
    else:
        assert store.exists(path) is False


def test_an_absolute_path_is_refused(store):
    with pytest.raises(AtlasError, match="not a path inside the store"):
        store.read_bytes("/etc/passwd")


@pytest.mark.parametrize(("found", "words"), [("99", "a newer release wrote it"), ("0", "no version"), ("x", "no ver")])
def test_a_store_of_another_schema_is_refused_in_words_and_left_as_it_is(found, words, store):
    store.open_schema()
    store.write_bytes("SCHEMA", f"{found}\n".encode())

    for opened in (store.open_schema, store.check_schema):
        with pytest.raises(AtlasError, match=rf"schema version {found}, this program reads 2: .*{words}"):
            opened()
    assert store.read_bytes("SCHEMA") == f"{found}\n".encode()


def test_an_older_store_is_taken_over_by_the_next_writer(store):
    store.write_bytes("SCHEMA", b"1\n")

    assert store.check_schema() == "1"
    assert store.read_bytes("SCHEMA") == b"1\n", "looking changes nothing"
    store.open_schema()
    assert store.check_schema() == "2"


def test_files_and_the_folders_left_empty_are_removed_and_no_others(store):
    for path in ("a/b/c.txt", "a/b/d.txt", "a/e.txt", "f.txt"):
        store.write_bytes(path, b"x")

    store.delete_all(["a/b/c.txt", "a/b/d.txt"])

    assert set(store.walk()) == {"a/e.txt", "f.txt"}
    assert not store.exists("a/b")
    with pytest.raises(AtlasError, match="not a path inside the store"):
        store.delete_all(["../outside.txt"])


def test_the_next_writer_removes_what_a_killed_one_left(store):
    store.write_bytes("models/weights", b"whole")
    (store.local("models/weights").parent / ".writing-123-weights").write_bytes(b"half")

    left = store.remove_temporaries()

    assert left == ["models/.writing-123-weights"]
    assert files_of(store) == ["weights"]


@pytest.fixture
def remote(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return Store(f"memory://{tmp_path.name}")


def pipe(store, path, data):
    """Write past the store, as another machine does."""
    fsspec.filesystem("memory").pipe_file(f"/{store.root.partition('://')[2]}/{path}", data)


def test_a_remote_store_holds_the_same_promises(remote):
    written = remote.write_bytes("refs/corpus/a.json", b"{}")

    assert remote.read_bytes("refs/corpus/a.json") == b"{}"
    assert remote.files_in("refs/corpus") == ["refs/corpus/a.json"]
    assert remote.verify(written).read_bytes() == b"{}"
    with pytest.raises(AtlasError, match=r"b.json is missing from the store"):
        remote.local("refs/corpus/b.json")


def test_what_is_written_again_to_a_remote_store_is_described_and_read_as_it_is_now(remote):
    remote.write_bytes("models/weights", b"old")

    written = remote.write_bytes("models/weights", b"the new")

    assert written.size == 7
    assert remote.local("models/weights").read_bytes() == b"the new"


def test_a_damaged_file_of_a_remote_store_is_set_aside_with_its_copy(remote):
    written = remote.write_bytes("models/weights", b"whole")
    pipe(remote, "models/weights", b"wh0le")
    remote.local("models/weights").write_bytes(b"wh0le")

    with pytest.raises(DamagedFileError):
        remote.verify(written)
    remote.set_aside("models/weights")

    with pytest.raises(AtlasError, match="is missing from the store"):
        remote.local("models/weights")
    assert remote.verify(remote.write_bytes("models/weights", b"whole")).read_bytes() == b"whole"


def test_a_copy_that_another_machine_outdated_is_downloaded_again(remote):
    remote.write_bytes("models/weights", b"before")
    wanted = Store(remote.root).write_bytes("models/other", b"after")
    pipe(remote, "models/weights", b"after")

    found = remote.verify(type(wanted)("models/weights", wanted.size, wanted.sha256))

    assert found.read_bytes() == b"after"


def test_copies_of_a_remote_store_lie_where_no_other_user_can_put_any(remote, tmp_path):
    remote.write_bytes("models/weights", b"whole")
    (folder,) = tmp_path.glob("feature-atlas-cache-*")
    assert folder.stat().st_mode & 0o777 == 0o700

    folder.chmod(0o777)

    with pytest.raises(AtlasError, match="not a folder that only this user can enter"):
        remote.local("models/weights")


def test_equal_paths_of_two_servers_have_two_copies(remote, monkeypatch):
    class Elsewhere(MemoryFileSystem):
        protocol = "elsewhere"
        store = {}  # noqa: RUF012
        pseudo_dirs = [""]  # noqa: RUF012

    fsspec.register_implementation("elsewhere", Elsewhere, clobber=True)
    here = remote.write_bytes("models/weights", b"here")
    there = Store(f"elsewhere://{remote.root.partition('://')[2]}").write_bytes("models/weights", b"there")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://minio:9000")

    assert (here.size, there.size) == (4, 5)
    assert remote.local("models/weights").read_bytes() == b"here"
    assert Store(remote.root).local("models/weights") != remote.local("models/weights")


class Listing(MemoryFileSystem):
    """A remote that keeps what it listed, as object stores' file systems do."""

    protocol = "listing"
    store = {}  # noqa: RUF012
    pseudo_dirs = [""]  # noqa: RUF012

    def ls(self, path, detail=True, **kwargs):
        if path not in self.dircache:
            self.dircache[path] = listed = super().ls(path, detail=True)
            return listed
        return self.dircache[path]


def test_a_long_lived_process_sees_the_files_that_others_write():
    fsspec.register_implementation("listing", Listing, clobber=True)
    store = Store("listing://atlas")
    store.write_bytes("refs/a.json", b"{}")
    assert store.files_in("refs") == ["refs/a.json"]

    ((path, file),) = [(path, file) for path, file in Listing.store.items() if path.endswith("refs/a.json")]
    Listing.store[path.replace("a.json", "b.json")] = file

    assert store.files_in("refs") == ["refs/a.json", "refs/b.json"]
