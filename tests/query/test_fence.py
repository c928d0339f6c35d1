"""SQL reaches nothing but `lines` and what is allowed: every way out that we could think of."""

import os

import duckdb
import pytest
from query_tools import LINES, refused, relation, run_whole

from dbshuf.errors import DbshufError
from dbshuf.query.fence import NOTHING, Allowed, check_tables, close_fence, connect
from dbshuf.query.parse import SqlText, parse
from dbshuf.query.whole_statement import WholeQuery

HOSTILE = r"""
from '/etc/passwd'
from "secret.csv"
from 'secret.csv'
from '{home}/secret.csv'
from 'file://{home}/secret.csv'
from 's3://bucket/x.parquet'
from 'http://127.0.0.1/x.csv'
from '..'
from read_text('secret.csv')
from read_blob('/proc/self/environ')
from read_csv('/dev/stdin')
from read_csv('sec' || 'ret.csv')
from read_csv(header = true, 'secret.csv')
from read_csv(['secret.csv'])
from read_csv([x for x in ['secret.csv']])
from read_csv((select 'secret.csv'))
from read_text(path := 'secret.csv')
from read_parquet('secret.csv')
from read_json('secret.csv')
from read_ndjson_objects('secret.csv')
from parquet_scan('secret.csv')
from read_text('{spill}/*')
from read_blob('{spill}/spilled')
from '{spill}/spilled.csv'
from glob('{spill}/*')
from glob('*')
from sniff_csv('secret.csv')
from parquet_metadata('secret.csv')
from read_duckdb('secret.csv')
from query('from ''secret.csv''')
from query_table('lines')
from json_execute_serialized_sql(json_serialize_sql('select 1'))
from arrow_scan(1, 2, 3)
from duckdb_settings()
from duckdb_temporary_files()
from duckdb_secrets()
from duckdb_logs
from duckdb_tables
from sqlite_master
from information_schema.tables
from pg_catalog.pg_class
from main.lines
from temp.main.lines
from chunk
from copied
from python_variable
from which_secret('s3://x', 's3')
from pragma_database_size()
from checkpoint()
from enable_logging()
from (show tables)
from (show all tables)
from (describe lines)
from (summarize lines)
from (pivot sqlite_master on type in ('a') using count(*))
from lines, lateral (from sqlite_master)
from lines join sqlite_master on true
from lines positional join (from read_text('secret.csv'))
from lines union all by name (from sqlite_master)
from lines asof join sqlite_master on 1 >= 2
from sqlite_master, (with sqlite_master as (select 1) from sqlite_master)
with sqlite_master as (from sqlite_master) from sqlite_master
with recursive t as (select 1 as n union all select 2 from sqlite_master, t) from t
with a as (from b), b as (select 1) from a
with a as (with b as (select 1) from b) from a, b
with x as (copy (select 1) to 'out.csv') from x
with x as (insert into lines values (1) returning *) from x
with x as (delete from lines returning *) from x
select (select sql from sqlite_master)
select 1 where exists (from duckdb_settings())
select [x for x in (select list(sql) from sqlite_master)]
select sum(1) over (partition by (select 1 from sqlite_master)) from lines
select sum(1) over w from lines window w as (order by (select 1 from sqlite_master))
select sum(1) filter (where (select true from sqlite_master)) from lines
select line from lines order by (select 1 from sqlite_master)
select line from lines limit (select count(*) from sqlite_master)
select line from lines group by (select 1 from sqlite_master), line
select line from lines having (select true from sqlite_master)
select line from lines qualify (select true from sqlite_master)
select distinct on ((select 1 from sqlite_master)) line from lines
select case when true then (select 1 from sqlite_master) end
select unnest((select list(content) from read_text('secret.csv')))
values ((select 1 from sqlite_master))
select current_setting('temp_directory')
select getvariable('x')
select getenv('HOME')
select write_log('x')
select nextval('x')
select setseed(0.5)
select json_serialize_plan('from arrow_scan(1, 2, 3)')
select __internal_decompress_string(1::utinyint)
select pg_get_viewdef(1)
select to_aggregate_state(1)
copy lines to 'out.csv'
copy (select 1) to '{spill}/out.csv'
export database '{spill}/out'
import database '{spill}'
attach '{spill}/x.db' as x
attach ':memory:' as x
detach memory
install httpfs
load httpfs
create table x as select 1
create macro f() as 1
create secret (type s3)
insert into lines values (1)
set threads = 4
reset threads
set variable x = 1
pragma threads = 4
pragma database_list
call enable_logging()
use memory
checkpoint
prepare x as select 1
execute x
begin
select 1; select 2
select 1; copy lines to 'out.csv'
"""


@pytest.fixture
def jail(tmp_path, monkeypatch):
    """A directory with a secret file, and a folder that a query spills to."""
    (tmp_path / "home").mkdir()
    (tmp_path / "spill").mkdir()
    (tmp_path / "home" / "secret.csv").write_text("a,b\n1,secret\n")
    (tmp_path / "spill" / "spilled").write_text("secret")
    (tmp_path / "spill" / "spilled.csv").write_text("a\nsecret\n")
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path


def test_every_way_out_is_refused_before_any_work(jail):
    """With what is wrong, and without touching a file."""
    python_variable = relation(["secret"])
    before = sorted(jail.rglob("*"))
    for text in HOSTILE.strip().splitlines():
        filled = text.format(home=jail / "home", spill=jail / "spill")
        error = refused(lambda text=filled: WholeQuery(text, LINES), "^--sql: ")
        assert "secret\n" not in error.message
    assert sorted(jail.rglob("*")) == before
    assert python_variable.num_rows == 1


@pytest.fixture
def parser():
    """A connection to parse on."""
    with duckdb.connect() as connection:
        yield connection


def test_every_table_function_of_the_catalogue_is_refused_but_those_that_make_rows(parser):
    """Also those of a DuckDB to come."""
    names = parser.sql(
        "select distinct function_name from duckdb_functions()"
        " where function_type in ('table', 'table_macro')"
    ).fetchall()
    assert len(names) > 100
    readers = set()
    makers = {
        "range", "generate_series", "unnest", "json_each", "json_tree", "repeat", "repeat_row",
    }  # fmt: skip
    for (name,) in names:
        sql = SqlText("--sql", f"from {name}('x')")
        if name in makers:
            check_tables(sql, parse(parser, sql)[0]["node"], NOTHING)
            continue
        tree = parse(parser, sql)[0]["node"]
        error = refused(lambda s=sql, t=tree: check_tables(s, t, NOTHING), "not allowed")
        if "--allow-files" in error.hint:
            readers.add(name)
    assert readers == {
        "read_csv", "read_csv_auto", "read_json", "read_json_auto", "read_json_objects",
        "read_json_objects_auto", "read_ndjson", "read_ndjson_auto", "read_ndjson_objects",
        "read_parquet", "parquet_scan", "read_text", "read_blob",
    }  # fmt: skip


def test_what_a_tree_may_hold_that_is_not_known_here_is_refused():
    """A kind of table, or of query, that a later DuckDB has."""
    sql = SqlText("--sql", "select")
    for table in ("NEW_REF", "BOUND_TABLE_REF", "COLUMN_DATA"):
        tree = {"type": "SELECT_NODE", "from_table": {"type": table}}
        refused(lambda t=tree: check_tables(sql, t, NOTHING), f"{table} is not allowed")
    inner = {"type": "SELECT_NODE", "from_table": {"type": "NEW_QUERY_NODE"}}
    refused(lambda: check_tables(sql, inner, NOTHING), "this holds NEW")


DIRECT = {
    "from read_text('secret.csv')": "disabled by configuration",
    "from 'secret.csv'": "disabled by configuration",
    "copy (select 1) to 'out.csv'": "disabled by configuration",
    "attach 'x.db' as x": "disabled by configuration",
    "from glob('*')": "disabled by configuration",
    "load httpfs": "disabled",
    "set threads = 4": "locked",
    "set enable_external_access = true": "locked",
    "set allowed_directories = ['/']": "locked",
    "set temp_directory = '/tmp'": "locked",
    "from python_variable": "does not exist",
}


def test_behind_the_parse_there_is_a_second_fence(jail):
    """The database itself refuses, on the connections of workers too."""
    python_variable = relation(["secret"])
    base = connect(folder=jail / "spill")
    close_fence(base, NOTHING)
    worker = base.cursor()
    for connection in (base, worker):
        for text, reason in DIRECT.items():
            with pytest.raises(duckdb.Error, match=reason):
                connection.execute(text)
        (zone,) = connection.execute("select current_setting('TimeZone')").fetchall()[0]
        assert zone == "UTC"
    worker.close()
    base.close()
    assert python_variable.num_rows == 1
    assert sorted(os.listdir(jail / "home")) == ["secret.csv"]


@pytest.fixture
def shelf(jail):
    """A directory that is allowed, a file that is, and one beside them that is not."""
    home = jail / "home"
    (home / "ok" / "deep").mkdir(parents=True)
    for name in ("ok/a.csv", "ok/deep/b.csv", "one.csv", "okay.csv"):
        (home / name).write_text("n,word\n1,x\n3,y\n")
    (home / "ok" / "link.txt").symlink_to(home / "secret.csv")
    return home


@pytest.mark.parametrize(
    "text",
    ["from 'ok/a.csv'", "from read_csv('./ok/a.csv')", "from read_csv('{home}/ok/deep/../a.csv')",
     "from 'ok/*.csv'", "from 'ok/deep/*.csv'", "from 'one.csv'", "from '{home}/one.csv'",
     "from read_csv('one.csv', header = true)", "select n from read_csv(['one.csv', 'ok/a.csv'])",
     "select size from read_text('ok/a.csv')"],
)  # fmt: skip
def test_what_is_allowed_can_be_read(text, shelf, tmp_path):
    """Files by name, directories with all that is in them."""
    found, _ = run_whole(
        text.format(home=shelf), [relation([""])], tmp_path / "run", allow_files=["ok", "one.csv"]
    )
    assert found


@pytest.mark.parametrize(
    "text",
    ["from 'secret.csv'", "from 'okay.csv'", "from 'ok/../secret.csv'",
     "from read_text('ok/link.txt')", "from 'ok*/a.csv'", "from '*.csv'",
     "from 'ok/*/../../secret.csv'",
     "from read_csv(['one.csv', 'secret.csv'])", "from 'file://{home}/one.csv'",
     "from glob('ok/*')", "from sniff_csv('ok/a.csv')", "copy (select 1) to 'ok/out.csv'",
     "from read_text('{home}/../spill/*')", "with x as (copy (select 1) to 'ok/x.csv') from x"],
)  # fmt: skip
def test_what_is_not_allowed_cannot_be_read_through_what_is(text, shelf):
    """Nor can anything be written there."""
    before = sorted(shelf.rglob("*"))
    refused(
        lambda: WholeQuery(text.format(home=shelf), LINES, allow_files=["ok", "one.csv"]), "^--sql"
    )
    assert sorted(shelf.rglob("*")) == before


def test_a_link_out_of_what_is_allowed_is_not_followed(shelf, tmp_path):
    """Found by a glob, as DuckDB runs it."""
    with pytest.raises(DbshufError, match="disabled by configuration"):
        run_whole("from read_text('ok/*.txt')", [relation([""])], tmp_path / "run",
                  allow_files=["ok"])  # fmt: skip


def test_lines_can_be_joined_with_a_file(shelf, tmp_path):
    """What --allow-files is for."""
    found, query = run_whole(
        "select id, line, word from lines join 'one.csv' on id = n",
        [relation(["a", "b", "c", "d"])],
        tmp_path / "run",
        allow_files=["one.csv"],
    )
    assert sorted(found) == [(1, {"line": "b", "word": "x"}), (3, {"line": "d", "word": "y"})]
    assert query.scans == 1


def test_names_of_common_tables_hide_what_has_their_name(tmp_path):
    """A user may call one as they like."""
    text = "with sqlite_master as (select line from lines) select * from sqlite_master, range(2)"
    assert len(run_whole(text, [relation(["a", "b"])], tmp_path)[0]) == 4


def test_a_directory_holds_what_is_in_it_and_not_what_begins_like_it(tmp_path):
    """Whatever the path looks like."""
    (tmp_path / "a").mkdir()
    allowed = Allowed.of([str(tmp_path / "a")])
    assert allowed.holds(f"{tmp_path}/a/x.csv")
    assert allowed.holds(f"{tmp_path}/a/**/*.csv")
    for name in ("ab/x.csv", "a*/x.csv", "a/../x.csv", "x.csv", "a/*/../../x.csv"):
        assert not allowed.holds(f"{tmp_path}/{name}")
