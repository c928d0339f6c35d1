"""SQLite: tables, views and queries, every column of the one type that its values have."""

import dataclasses
import os
import sqlite3
import subprocess
import sys
from unittest import mock

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typed_sources import check_stop_ends, expected, read, read_rows

from dbshuf.errors import (
    InputBroken,
    InputChanged,
    InputUnreadable,
    NotUtf8,
    QueryInvalid,
    SchemaMismatch,
    UsageError,
)
from dbshuf.source.inputs import resolve_inputs
from dbshuf.source.tables import sqlite
from dbshuf.source.tables.reader import open_tables


def made(path, script, rows=(), into="t"):
    """Make a database; `rows` go into one of its tables."""
    with sqlite3.connect(path) as connection:
        connection.executescript(script)
        for row in rows:
            connection.execute(f"INSERT INTO {into} VALUES ({', '.join('?' * len(row))})", row)
    connection.close()
    return path


def schema_of(path, table):
    source = open_tables(resolve_inputs([str(path)]), "sqlite", batch_bytes=1, table=table)
    source.close()
    return source.schema


VALUES = [
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),  # SQLite makes a NULL of it
    st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
    st.binary(max_size=9),
]


@given(st.data())
@settings(derandomize=True, deadline=None, max_examples=25)
def test_all_rows_come_with_their_ids(tmp_path_factory, data):
    """Whatever the types and however many threads."""
    kinds = data.draw(st.lists(st.sampled_from(VALUES), min_size=1, max_size=4))
    cells = [st.one_of(kind, st.none()) for kind in kinds]
    rows = data.draw(st.lists(st.tuples(*cells), max_size=30))
    columns = [f"c{i}" for i in range(len(kinds))]
    path = made(tmp_path_factory.mktemp("d") / "a", f"CREATE TABLE t({', '.join(columns)})", rows)
    options = {
        "workers": data.draw(st.integers(1, 3)),
        "batch_bytes": data.draw(st.integers(1, 99)),
    }
    found = read([path, path], "sqlite", table="t", **options)
    table = [dict(zip(columns, row, strict=True)) for row in rows]
    assert found == expected([table, table])


def test_columns_of_nothing_but_null_have_their_declared_type(tmp_path):
    """By the rules of affinity; those of a query are text."""
    declared = "a INT, b BIGINT, c VARCHAR(9), d CLOB, e BLOB, f, g REAL, h NUMERIC, i DATETIME"
    path = made(tmp_path / "a", f"CREATE TABLE t({declared})", [(None,) * 9])
    kinds = [pa.int64()] * 2 + [pa.string()] * 2 + [pa.binary()] * 2 + [pa.float64()] * 3
    assert schema_of(path, "t").types == kinds
    assert schema_of(path, "SELECT a, e FROM t").types == [pa.string()] * 2
    assert read_rows([path], "sqlite", table="t") == [dict.fromkeys("abcdefghi")]


@pytest.mark.parametrize("at", [1, 7000])
def test_mixed_types_are_named_with_the_row(tmp_path, at):
    """SQLite would hand out both; which one would the column be?"""
    rows = [(i, "x") for i in range(8000)]
    rows[at] = (at, 2.5)
    path = made(tmp_path / "a", "CREATE TABLE t(a, b)", rows)
    with pytest.raises(SchemaMismatch) as caught:
        read([path], "sqlite", table="t")
    assert f"a`: column `b` mixes types: text at first, real in row {at}" in caught.value.message
    assert 'cast("b" as text)' in caught.value.hint
    found = read_rows([path], "sqlite", table="SELECT CAST(b AS text) AS b FROM t")
    assert found[at] == {"b": "2.5"}


def test_views_queries_and_tables_of_all_sorts_are_read(tmp_path):
    """By names in any case, with quotes and blanks in them."""
    script = """
        CREATE TABLE "a ""table"" of mine"(x); INSERT INTO "a ""table"" of mine" VALUES (1);
        CREATE TABLE keyed(k TEXT PRIMARY KEY, v) WITHOUT ROWID;
        INSERT INTO keyed VALUES ('b', 2), ('a', 1);
        CREATE VIEW v AS SELECT v * 2 AS w FROM keyed WHERE v > 1;
        CREATE TABLE "select 1"(y); INSERT INTO "select 1" VALUES (7);
    """
    path = made(tmp_path / "a", script)

    def rows(table):
        return read_rows([path], "sqlite", table=table)

    assert rows('a "table" of mine') == [{"x": 1}]
    assert rows("KEYED") == [{"k": "a", "v": 1}, {"k": "b", "v": 2}]
    assert rows("v") == [{"w": 4}]
    assert rows("select 1") == [{"y": 7}]
    assert rows("SELECT ';' AS one; -- no; more") == [{"one": ";"}]
    assert rows("SELECT 1 AS one;") == [{"one": 1}]
    assert rows("WITH a(n) AS (VALUES (1), (2)) SELECT n FROM a -- all") == [{"n": 1}, {"n": 2}]
    assert rows("SELECT value FROM json_each('[3]')") == [{"value": 3}]
    found = read_rows([path], "sqlite", table="keyed", columns=frozenset("v"))
    assert found == [{"v": 1}, {"v": 2}]


def test_many_columns_are_looked_at(tmp_path):
    """More than SQLite can look at in one pass."""
    names = [f"c{i}" for i in range(600)]
    path = made(tmp_path / "a", f"CREATE TABLE t({','.join(names)})", [tuple(range(600))])
    assert read_rows([path], "sqlite", table="t") == [{f"c{i}": i for i in range(600)}]


@pytest.mark.parametrize(
    ("table", "error", "words"),
    [
        ("nowhere", UsageError, "has no table `nowhere`, nor is that one SELECT"),
        ("", UsageError, "nor is that one SELECT"),
        ("SELECT 1 AS a; SELECT 2", UsageError, "one statement"),
        ("SELECT absent FROM t", QueryInvalid, "no such column: absent"),
        ("SELECT 1 AS a, 2 AS a", SchemaMismatch, "2 columns `a`"),
        ("DELETE FROM t", QueryInvalid, "not authorized"),
        ("DROP TABLE t", QueryInvalid, "not authorized"),
        ("ATTACH 'other' AS o", QueryInvalid, "not authorized"),
        ("PRAGMA user_version", QueryInvalid, "not authorized"),
        ("SELECT * FROM pragma_database_list", QueryInvalid, "not authorized"),
        ("SELECT load_extension('x')", QueryInvalid, "not authorized"),
        ("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", QueryInvalid, "not authorized"),
        ("COMMIT", QueryInvalid, "not authorized"),
        ("SELECT abs(-9223372036854775808)", QueryInvalid, "overflow"),
    ],
)
def test_what_is_no_query_of_this_file_is_refused(tmp_path, table, error, words):
    """It reads, and reads nothing but this file."""
    path = made(tmp_path / "a", "CREATE TABLE t(a); INSERT INTO t VALUES (1)")
    before = path.read_bytes()
    with pytest.raises(error, match=words) as caught:
        read([path], "sqlite", table=table)
    assert caught.value.hint
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a"]


def test_text_that_is_no_utf8_is_named_by_row(tmp_path):
    """As for any other input; NULs are no end of it."""
    script = "CREATE TABLE t(a TEXT); INSERT INTO t VALUES ('x'), ('a' || char(0) || 'b')"
    path = made(tmp_path / "a", script)
    assert read_rows([path], "sqlite", table="t") == [{"a": "x"}, {"a": "a\0b"}]
    made(path, "INSERT INTO t VALUES (CAST(x'ff' AS TEXT))")
    with pytest.raises(NotUtf8, match="a` at row 2: column `a`"):
        read([path], "sqlite", table="t")


def test_a_file_that_is_no_database_or_damaged_is_named(tmp_path):
    """Before the run and in the midst of it."""
    path = made(tmp_path / "a", "CREATE TABLE t(a)", [("x" * 300,) for _ in range(200)])
    data = path.read_bytes()
    (tmp_path / "text").write_bytes(b"text\n" * 100)
    with pytest.raises(InputBroken, match=r"text`: SQLite says: file is not a database"):
        read([tmp_path / "text"], "sqlite", table="t")
    path.write_bytes(data[:8192] + b"\xff" * 4096 + data[12288:])
    with pytest.raises(InputBroken, match=r"a`: SQLite says: database disk image is malformed"):
        read([path], "sqlite", table="t")
    inputs = resolve_inputs([str(path)])
    path.unlink()
    with pytest.raises(InputUnreadable, match="cannot read"):
        read(inputs, "sqlite", table="t")


def test_a_length_for_which_there_is_no_memory_is_told(tmp_path, monkeypatch):
    """As SQLite says it, through Python, of a length that is damaged."""
    path = made(tmp_path / "a", "CREATE TABLE t(a)", [(1,)])
    monkeypatch.setattr(sqlite, "_types", mock.Mock(side_effect=MemoryError))
    with pytest.raises(InputBroken, match="a`: SQLite has no memory for a value"):
        read([path], "sqlite", table="t")


def test_an_index_that_is_not_of_its_table_is_told(tmp_path):
    """The first pass reads one, and the second the other."""
    script = """CREATE TABLE t(a, b); CREATE INDEX of_t ON t(a); CREATE TABLE u(a);
    CREATE INDEX of_u ON u(a); INSERT INTO u VALUES (1), (2); PRAGMA writable_schema = on;
    UPDATE sqlite_master SET rootpage = (SELECT rootpage FROM sqlite_master WHERE name = 'of_u')
    WHERE name = 'of_t'"""
    path = made(tmp_path / "a", "CREATE TABLE t(a, b)", [(1, 2), ("x", 2)])
    made(path, script.partition(";")[2])
    with pytest.raises(InputChanged, match="column `a` has values of another type"):
        read([path], "sqlite", table="t")


def test_a_database_that_someone_writes_to_is_read_or_refused_in_words(tmp_path):
    """In WAL mode, readers and a writer get along; an exclusive lock stops readers."""
    path = made(tmp_path / "a", "PRAGMA journal_mode = WAL; CREATE TABLE t(a)", [(1,)])
    with sqlite3.connect(path, isolation_level=None) as writer:
        writer.execute("INSERT INTO t VALUES (2)")
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO t VALUES (3)")
        assert read_rows([path], "sqlite", table="t") == [{"a": 1}, {"a": 2}]
        writer.execute("COMMIT")
        assert len(read_rows([path], "sqlite", table="t")) == 3
    writer.close()


def test_a_locked_database_is_named(tmp_path, monkeypatch):
    """After SQLite has waited for it."""
    monkeypatch.setattr(sqlite, "_PATIENCE_S", 0.05)
    path = made(tmp_path / "a", "CREATE TABLE t(a)", [(1,)])
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('BEGIN EXCLUSIVE'); print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        with pytest.raises(InputUnreadable, match="a`: SQLite says: database is locked") as caught:
            read([path], "sqlite", table="t")
        assert "another program" in caught.value.hint
        holder.stdin.close()


def test_a_query_that_runs_is_ended_by_stop(tmp_path, wait_for):
    """A worker does not wait for the end of a query that may take hours."""
    path = made(tmp_path / "a", "CREATE TABLE t(a)", [(i,) for i in range(100)])
    inputs = resolve_inputs([str(path)])
    source = open_tables(inputs, "sqlite", batch_bytes=1 << 20, table="t")
    endless = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    reader = source._tables[0]  # the first pass would not end either
    reader._profile = dataclasses.replace(reader._profile, sql=endless)
    check_stop_ends(source, wait_for)
