"""Files are written whole or not at all, inside the store or nowhere."""

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sae.errors import AtlasError
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


def test_a_remote_store_holds_the_same_promises():
    store = Store("memory://atlas-test")
    written = store.write_bytes("refs/corpus/a.json", b"{}")

    assert store.read_bytes("refs/corpus/a.json") == b"{}"
    assert store.files_in("refs/corpus") == ["refs/corpus/a.json"]
    assert store.verify(written).read_bytes() == b"{}"
