import shutil
import threading
from pathlib import Path

import duckdb
import polars as pl
import pytest
from catalog_fixture import LARGE, small_frames, small_parquet

from sae.catalog import Catalog, open_catalog
from sae.catalog.export import export_duckdb
from sae.catalog.publish import build_candidate, publish
from sae.catalog.schema import SCHEMA_VERSION
from sae.catalog.versions import CURRENT, catalog_path, current_version
from sae.errors import AtlasError
from sae.storage import Store


@pytest.fixture(scope="module")
def catalog(small_store: Path):
    with open_catalog(Store(str(small_store))) as opened:
        yield opened


@pytest.fixture
def copied(tmp_path: Path, small_store: Path) -> Store:
    shutil.copytree(small_store, tmp_path / "copied")
    return Store(str(tmp_path / "copied"))


def test_rows_come_as_polars(catalog: Catalog):
    rows = catalog.sql("select * from features where feature_id = ?", [f"{LARGE}:0"]).to_dicts()

    assert len(rows) == 1
    assert rows[0]["languages"] == {"en": 0.75, "ja": 0.25}
    assert rows[0]["top_tokens"] == ["Golden Gate Bridge", "ゴールデンゲートブリッジ"]


def test_a_store_whose_folder_looks_like_a_pattern_is_read_and_exported(small_store: Path, tmp_path: Path):
    root = tmp_path / "atlas [x] *"
    shutil.copytree(small_store, root)
    other = tmp_path / "atlas x *" / "tables"  # What the name of the first one means as a pattern.
    shutil.copytree(small_store / "tables", other)
    for path in other.rglob("*.parquet"):
        path.write_bytes(b"another store's")

    with open_catalog(Store(str(root))) as opened:
        n = opened.sql("select count(*) from examples").item()
    export_duckdb(Store(str(root)), root / "all.duckdb")

    with duckdb.connect(str(root / "all.duckdb"), read_only=True) as exported:
        assert exported.execute("select count(*) from examples").fetchall() == [(n,)]
    assert n > 0


def test_named_parameters_and_a_limit(catalog: Catalog):
    rows = catalog.sql("select index from features where index < $n order by index desc; -- end", {"n": 9}, limit=2)

    assert rows["index"].to_list() == [8, 8]


def test_a_limit_stops_a_huge_result(catalog: Catalog):
    rows = catalog.sql("select a.index from features a, features b, features c, features d, features e", limit=5)

    assert rows.shape == (5, 1)


def test_the_current_label_is_a_humans_then_the_newest_good_one(catalog: Catalog):
    query = "select label, labeler, parent_label_id from current_labels where feature_id = ?"

    assert catalog.sql(query, [f"{LARGE}:0"]).rows() == [
        ("Golden Gate Bridge, San Francisco", "human", f"label-{LARGE[:4]}-0")
    ]
    assert catalog.sql(query, [f"{LARGE}:1"]).rows() == [("Alcatraz", "lexical", None)]
    assert catalog.sql("select count(*) = count(distinct feature_id) from current_labels").item()


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("select * from nowhere", "Table with name nowhere does not exist"),
        ("select density from labels", 'column "density" not found'),
        ("select 'x'::integer", "Could not convert"),
        ("drop table features", "Only reading"),
    ],
)
def test_an_error_is_duckdbs_message_in_one_line(catalog: Catalog, query: str, message: str):
    with pytest.raises(AtlasError, match=message) as raised:
        catalog.sql(query)

    assert "\n" not in str(raised.value)


def test_a_query_goes_on_after_an_error(catalog: Catalog):
    with pytest.raises(AtlasError):
        catalog.sql("select error('boom')")

    assert catalog.sql("select 1").item() == 1


def test_a_slow_query_is_stopped(catalog: Catalog):
    slow = "select count(*) from range(10000000) a, range(10000000) b where hash(a.range, b.range) = 3"

    with pytest.raises(AtlasError, match=r"more than 0\.2 s"):
        catalog.sql(slow, timeout=0.2)

    assert catalog.sql("select 1").item() == 1


def test_python_variables_are_out_of_reach(catalog: Catalog):
    secret = pl.DataFrame({"a": [1]})

    with pytest.raises(AtlasError, match="does not exist"):
        catalog.sql("select * from secret")
    assert len(secret) == 1


def attempts(store: Store) -> list[str]:
    """What an attacker past the guard would try."""
    table = store.local("tables")
    return [
        "select * from read_text('/etc/passwd')",
        f"select * from read_blob('{table}/../SCHEMA')",
        f"select * from read_blob('{table}/examples/../../catalog/CURRENT')",
        f"select * from glob('{table}/*')",
        "select * from '/etc/passwd'",
        f"copy (select 1) to '{table}/written.parquet'",
        f"attach '{table}/other.duckdb'",
        f"export database '{table}/exported'",
        "set enable_external_access = true",
        "set lock_configuration = false",
        "set allowed_directories = ['/']",
        "install httpfs",
        "load httpfs",
        "create table t (a integer)",
        "delete from features",
    ]


def test_the_connection_itself_refuses_files_settings_and_writing(copied: Store):
    with open_catalog(copied) as catalog, catalog._cursor() as past_the_guard:
        for attempt in attempts(copied):
            with pytest.raises(duckdb.Error):
                past_the_guard.execute(attempt).fetchall()
    assert not list(Path(copied.root).rglob("written*"))


def test_two_readers_of_one_process_share_the_settings(copied: Store):
    with open_catalog(copied) as first, open_catalog(copied) as second:
        assert first.sql("select count(*) from examples").item() == second.sql("select count(*) from examples").item()


def test_a_connection_with_other_settings_is_not_taken_over(copied: Store):
    path = copied.local(catalog_path(current_version(copied)))

    with duckdb.connect(str(path), read_only=True), pytest.raises(AtlasError, match="cannot be read"):
        open_catalog(copied)


def test_a_closed_catalog_says_so(copied: Store):
    catalog = open_catalog(copied)
    catalog.close()

    with pytest.raises(AtlasError, match="closed"):
        catalog.sql("select 1")


def test_threads_share_one_catalog(catalog: Catalog):
    found: list[int] = []

    def read():
        found.extend(catalog.sql("select count(*) from examples").item() for _ in range(5))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [found[0]] * 20


def test_a_copied_store_reads_its_own_files(small_store: Path, copied: Store):
    wanted = open_catalog(Store(str(small_store))).sql("select sum(activation) from examples").item()

    with open_catalog(copied) as catalog:
        assert catalog.sql("select sum(activation) from examples").item() == wanted
        (paths,) = catalog.sql("select distinct sql from duckdb_views() where view_name = 'examples'")["sql"]
    assert copied.root in paths
    assert str(small_store) not in paths


def test_a_store_without_a_catalog_says_what_to_do(tmp_path: Path):
    with pytest.raises(AtlasError, match=r"No catalog is published .* `atlas run` makes one"):
        open_catalog(Store(str(tmp_path)))


def test_a_damaged_pointer_is_told(copied: Store):
    copied.write_bytes(CURRENT, b"../../etc/passwd")

    with pytest.raises(AtlasError, match="CURRENT is damaged"):
        open_catalog(copied)


def test_a_pointer_to_a_missing_file_is_told(copied: Store):
    copied.write_bytes(CURRENT, b"000099-abcdef00")

    with pytest.raises(AtlasError, match=r"catalog-000099-abcdef00\.duckdb is missing"):
        open_catalog(copied)


def test_another_schema_version_is_refused(copied: Store, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patched:
        patched.setattr("sae.catalog.publish.SCHEMA_VERSION", 99)
        version = build_candidate(copied, small_frames(copied), small_parquet(copied), {})

    with pytest.raises(AtlasError, match=f"schema version 99, this program reads {SCHEMA_VERSION}"):
        publish(copied, version)


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"not a database"])
def test_a_damaged_catalog_is_told(copied: Store, damage):
    path = copied.local(catalog_path(current_version(copied)))
    path.write_bytes(damage(path.read_bytes()))

    with pytest.raises(AtlasError, match=r"cannot be read.*`atlas run` builds it again"):
        open_catalog(copied).sql("select * from documents")


def test_a_missing_or_cut_parquet_file_is_told(copied: Store):
    path = copied.local(small_parquet(copied)["examples"][0].path)
    data = path.read_bytes()
    path.write_bytes(data[:-10])

    with pytest.raises(AtlasError, match=r"tables/examples/.* is damaged"):
        open_catalog(copied)

    path.unlink()
    with pytest.raises(AtlasError, match=r"tables/examples/.* is missing"):
        open_catalog(copied)
