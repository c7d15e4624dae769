import contextlib

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sae.catalog.guard import guard
from sae.errors import AtlasError

ALLOWED = (
    "select 1",
    "SELECT 1;",
    "select 1;;",
    "-- a comment\nselect 1 -- drop table features",
    "/* ; drop table x; */ select ';' as semicolon",
    "select 'insert into t values (1)'",
    'select "delete" from t',
    "with a as (select 1) select * from a",
    "with recursive r as (select 1 n union all select n + 1 from r where n < 3) from r",
    "values (1), (2)",
    "from features",
    "from features select feature_id limit 3",
    "table features",
    "(select 1)",
    "describe features",
    "summarize features",
    "show tables",
    "show all tables",
    "pivot features on is_dead in (true, false)",
    "unpivot features on density",
    "select * from features union all by name select * from features",
    "select list_transform([1, 2], lambda x: x + 1)",
    "select * from range(3)",
    "select $1, ?",
    "select * from features using sample 3",
    "select * from duckdb_columns()",
)

REFUSED = (
    "",
    ";",
    "-- nothing",
    "select 1; select 2",
    "select 1; drop table features",
    "select 1 /* */; /* */ attach 'x'",
    "insert into features values (1)",
    "update features set density = 1",
    "delete from features",
    "merge into t using u on t.a = u.a when matched then delete",
    "truncate features",
    "create table t (a int)",
    "create temp table t as select 1",
    "create view v as select 1",
    "create macro f() as 1",
    "create secret s (type s3)",
    "drop table features",
    "alter table features rename to f",
    "comment on table features is 'x'",
    "copy features to 'out.csv'",
    "copy (select 1) to 'out.parquet' (format parquet)",
    "copy features from 'in.csv'",
    "COPY(SELECT 1)TO'/dev/null'",
    "copy (copy (select 1) to 'a') to 'b'",
    "attach 'other.duckdb'",
    "detach x",
    "use x",
    "export database 'x'",
    "import database 'x'",
    "install httpfs",
    "load httpfs",
    "set memory_limit = '1TB'",
    "reset memory_limit",
    "set variable x = 1",
    "pragma database_list",
    "pragma enable_profiling",
    "call pragma_version()",
    "checkpoint",
    "vacuum",
    "analyze",
    "begin",
    "commit",
    "prepare p as select 1",
    "execute p",
    "deallocate p",
    "explain analyze select 1",
    "pivot features on is_dead",
    "with x as (insert into t values (1) returning *) select * from x",
    "select * from t where a in (with y as (delete from t returning a) from y)",
    "with x as (update t set a = 1 returning *) from x",
    "select * from read_csv('/etc/passwd')",
    "select * from READ_CSV_AUTO('/etc/passwd')",
    "select * from read_text('/etc/passwd')",
    "select * from read_blob('/etc/passwd')",
    "select * from read_json('x')",
    "select * from read_parquet('x')",
    "select * from parquet_scan('x')",
    "select * from parquet_metadata('x')",
    "select * from sniff_csv('x')",
    "select * from glob('*')",
    "select * from (select * from (from glob('/**')))",
    "select (select content from read_text('/etc/passwd'))",
    "select getenv('HOME')",
    "select * from query('drop table features')",
    "select * from query_table('features')",
    "select * from json_execute_serialized_sql('x')",
    "selct 1",
    "select",
    "select \x00 1",
    "select '\ud800'",
)


@pytest.fixture(scope="module")
def parser():
    with duckdb.connect() as connection:
        yield connection


@pytest.mark.parametrize("sql", ALLOWED)
def test_reading_passes(parser: duckdb.DuckDBPyConnection, sql: str):
    assert guard(parser, sql).strip(" ;\n")


@pytest.mark.parametrize("sql", REFUSED)
def test_everything_else_is_refused_in_one_line(parser: duckdb.DuckDBPyConnection, sql: str):
    with pytest.raises(AtlasError) as refused:
        guard(parser, sql)

    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("sql", ["select 1; -- x", ";select 1", "-- y;\n; select 1 /* ; */ ;; -- ;"])
def test_semicolons_around_the_statement_are_dropped(parser: duckdb.DuckDBPyConnection, sql: str):
    passed = guard(parser, sql)

    assert "select 1" in passed
    assert guard(parser, f"select * from ({passed}\n)")


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
@example("select 'é' ; -- ü")
def test_any_text_passes_or_is_refused(parser: duckdb.DuckDBPyConnection, text: str):
    with contextlib.suppress(AtlasError):
        assert guard(parser, guard(parser, text))


@settings(max_examples=100, deadline=None)
@given(
    before=st.sampled_from(["", " ", "-- c\n", "/* c */", "(", ";", "select 1;", "with a as (select 1) "]),
    writing=st.sampled_from(
        ["drop table t", "insert into t values (1)", "copy t to 'f'", "attach 'f'", "set threads = 1", "pragma version"]
    ),
    after=st.sampled_from(["", ";", " -- c", "/* c */", ")", "; select 1"]),
    upper=st.booleans(),
)
def test_no_wrapping_lets_a_writing_statement_through(
    parser: duckdb.DuckDBPyConnection, before: str, writing: str, after: str, upper: bool
):
    sql = before + (writing.upper() if upper else writing) + after

    with pytest.raises(AtlasError):
        guard(parser, sql)
