"""DuckDB files: tables, views and queries, read-only and fenced."""

import os
import struct
import subprocess
import sys

import duckdb
import pyarrow as pa
import pytest
from typed_sources import check_stop_ends, expected, read, read_rows

from dbshuf.errors import (
    InputBroken,
    InputUnreadable,
    QueryFailed,
    QueryInvalid,
    SchemaMismatch,
    UsageError,
)
from dbshuf.source.inputs import resolve_inputs
from dbshuf.source.tables.reader import open_tables

SCRIPT = """
    CREATE TABLE t AS SELECT i AS a, 'v' || i AS b, [i] AS c FROM range(5000) r(i);
    CREATE TABLE "a ""quoted"" table"(x INT); INSERT INTO "a ""quoted"" table" VALUES (1);
    CREATE SCHEMA other;
    CREATE TABLE other.t AS SELECT 7 AS z; CREATE TABLE other.u AS SELECT 8 AS z;
    CREATE VIEW v AS SELECT a * 2 AS w FROM t WHERE a < 3;
    CREATE TABLE "select 1" AS SELECT 9 AS y;
    CREATE TYPE mood AS ENUM ('sad', 'glad');
    CREATE TABLE typed AS SELECT 1::HUGEINT AS h, uuid '00000000-0000-0000-0000-000000000001' AS u,
        'glad'::mood AS m, DATE '2020-02-02' AS d, TIMESTAMPTZ '2020-02-02 01:00:00+01' AS z,
        1.50::DECIMAL(9, 2) AS n, {'k': [1, 2]} AS s, MAP {'a': 1} AS p, '\\xFF'::BLOB AS o;
    CREATE VIEW outside AS SELECT * FROM read_text('/etc/hostname');
    CREATE TABLE times AS SELECT 1 AS a, [TIMETZ '12:00:00+01'] AS b;
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    path = tmp_path_factory.mktemp("db") / "a.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute(SCRIPT)
    return path


def test_all_rows_of_a_table_come_in_its_order(database):
    """With one thread and with three."""
    table = [{"a": i, "b": f"v{i}", "c": [i]} for i in range(5000)]
    for workers in (1, 3):
        found = read([database] * 2, "duckdb", table="t", workers=workers, batch_bytes=9000)
        assert found == expected([table, table])
    inputs = resolve_inputs([str(database)])
    assert open_tables(inputs, "duckdb", batch_bytes=1, table="t").rows == 5000


def test_names_come_before_queries_in_any_case(database):
    """With quotes and blanks, with schemas or without."""

    def rows(table):
        return read_rows([database], "duckdb", table=table)

    assert rows('a "quoted" table') == [{"x": 1}]
    assert rows("OTHER.T") == [{"z": 7}]
    assert rows("u") == [{"z": 8}]
    assert rows("v") == [{"w": 0}, {"w": 2}, {"w": 4}]
    assert rows("select 1") == [{"y": 9}]
    assert rows("SELECT 'é;' AS two; /* ; */ ; -- and no more") == [{"two": "é;"}]
    assert rows("FROM other.u") == [{"z": 8}]
    assert rows("SELECT a FROM t ORDER BY a DESC LIMIT 2") == [{"a": 4999}, {"a": 4998}]
    found = read_rows([database], "duckdb", table="SELECT 1 AS a, 2 AS b", columns=frozenset("b"))
    assert found == [{"b": 2}]


def test_types_arrive_as_arrow_has_them(database):
    """Enums as text; what has no such type is refused by name."""
    (row,) = read_rows([database], "duckdb", table="typed")
    shown = {name: str(value) for name, value in row.items()}
    assert shown == {
        "h": "1",
        "u": "00000000-0000-0000-0000-000000000001",
        "m": "glad",
        "d": "2020-02-02",
        "z": "2020-02-02 00:00:00+00:00",
        "n": "1.50",
        "s": "{'k': [1, 2]}",
        "p": "[('a', 1)]",
        "o": "b'\\xff'",
    }
    query = (
        'SELECT 1 AS b, INTERVAL \'2 months 3 days 2562046 hours\' AS "I""x", NULL::INTERVAL AS n,'
        " 7::UHUGEINT AS u"
    )
    (row,) = read_rows([database], "duckdb", table=query)
    assert row == {"b": 1, 'I"x': (2, 3, 2_562_046 * 3600 * 10**9), "n": None, "u": 7}
    with pytest.raises(SchemaMismatch, match=r"column `b` has type TIME WITH TIME ZONE\[\]"):
        read([database], "duckdb", table="times")


@pytest.mark.parametrize(
    ("table", "error", "words"),
    [
        ("nowhere", UsageError, "has no table `nowhere`, nor is that one SELECT"),
        ("", UsageError, "nor is that one SELECT"),
        ("SELECT 1; SELECT 2", UsageError, "2 statements"),
        ("DROP TABLE t", UsageError, "one DROP"),
        ("COPY t TO 'out.csv'", UsageError, "one COPY"),
        ("ATTACH 'other.db'", UsageError, "one ATTACH"),
        ("SET memory_limit = '10GB'", UsageError, "one SET"),
        ("CREATE TEMP TABLE x AS SELECT 1", UsageError, "one CREATE"),
        ("SELECT nothing FROM t", QueryInvalid, 'column "nothing" not found'),
        ("SELECT * FROM nowhere", QueryInvalid, "nowhere does not exist"),
        ("SELECT * FROM read_text('/etc/hostname')", QueryInvalid, "disabled by configuration"),
        ("SELECT * FROM '/etc/hostname'", QueryInvalid, "disabled|does not exist"),
        ("SELECT * FROM glob('/*')", QueryInvalid, "disabled by configuration"),
        ("outside", QueryInvalid, "disabled by configuration"),
        ("SELECT * FROM SCRIPT", QueryInvalid, "does not exist"),
        ("SELECT 1 AS a, 2 AS a", SchemaMismatch, "2 columns `a`"),
        ("SELECT [1::UHUGEINT] AS a", SchemaMismatch, r"column `a` has type UHUGEINT\[\]"),
        ("SELECT power(2, 127)::UHUGEINT AS a", QueryFailed, r"an integer of 2\^127 or more"),
        ("SELECT [INTERVAL 1 DAY] AS a", SchemaMismatch, r"column `a` has type INTERVAL\[\]"),
        ("SELECT to_hours(2562047) AS a", QueryFailed, "an interval of more than 2562046 hours"),
        ("SELECT to_hours(-2562047) AS a", QueryFailed, "an interval of more than 2562046 hours"),
        ("SELECT error('at ' || a) FROM t WHERE a = 4999", QueryFailed, "at 4999"),
        ("SELECT b::INT FROM t", QueryFailed, r"Could not convert string '\.\.\.'"),
    ],
)
def test_what_is_no_query_of_this_file_is_refused(database, table, error, words):
    """It reads, and reads nothing but this file; variables of the program are none of it."""
    before = database.read_bytes(), os.listdir(database.parent)
    with pytest.raises(error, match=words) as caught:
        read([database], "duckdb", table=table)
    assert caught.value.hint
    assert "\n" not in caught.value.message
    assert (database.read_bytes(), os.listdir(database.parent)) == before


def test_a_query_that_wants_more_memory_is_told_so(database):
    """It is a part of --memory, and spills nowhere."""
    query = "SELECT repeat('x', 1000) || a AS s, b FROM t, range(100) ORDER BY s"
    with pytest.raises(QueryFailed, match="Out of Memory") as caught:
        read([database], "duckdb", table=query)
    assert "134 MB" in caught.value.hint


def test_a_query_that_runs_is_ended_by_stop(database, wait_for):
    """A worker does not wait for the end of a query that may take hours."""
    query = "SELECT count(*) AS c FROM t x, t y, t z WHERE (x.a + y.a * z.a) % 7 = 1"
    inputs = resolve_inputs([str(database)])
    source = open_tables(inputs, "duckdb", batch_bytes=1 << 20, table=query)
    check_stop_ends(source, wait_for)


def test_a_file_that_another_program_writes_to_is_named(tmp_path):
    """DuckDB lets one program in, or readers only."""
    code = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1]); c.execute('CREATE TABLE t(a INT)');"
        "print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, tmp_path / "a"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        with pytest.raises(InputUnreadable, match=r"a`: DuckDB says: .*lock") as caught:
            read([tmp_path / "a"], "duckdb", table="t")
        assert "close it there" in caught.value.hint
        holder.stdin.close()
    assert read([tmp_path / "a"], "duckdb", table="t") == {}


def test_a_file_that_this_program_has_open_is_named(tmp_path):
    """From Python, say."""
    with duckdb.connect(tmp_path / "a") as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS a")
        with pytest.raises(InputUnreadable) as caught:
            read([tmp_path / "a"], "duckdb", table="t")
        assert "this program has it open" in caught.value.hint
    assert len(read([tmp_path / "a"], "duckdb", table="t")) == 1


def with_version(data, version):
    """Return a database whose header claims another version; its checksum is DuckDB's."""

    def checksum(block):
        total = 5381
        for (word,) in struct.iter_unpack("<Q", block):
            total ^= word * 0xBF58476D1CE4E5B9 % 2**64
        return struct.pack("<Q", total)

    assert checksum(data[8:4096]) == data[:8], "DuckDB counts otherwise: mend the test"
    body = data[8:12] + struct.pack("<Q", version) + data[20:4096]
    return checksum(body) + body + data[4096:]


def test_a_file_of_a_newer_duckdb_is_named(database, tmp_path):
    """Or of a very old one."""
    (tmp_path / "a").write_bytes(with_version(database.read_bytes(), 40_000))
    with pytest.raises(InputUnreadable, match=r"DuckDB says: .*version number 40000") as caught:
        read([tmp_path / "a"], "duckdb", table="t")
    assert "newer DuckDB" in caught.value.hint


@pytest.mark.parametrize("fault", ["head", "middle", "short", "text", "empty"])
def test_a_damaged_file_is_named(database, tmp_path, fault):
    """Wherever the damage is found."""
    data = bytearray(database.read_bytes())
    if fault == "head":
        data[100] ^= 1
    elif fault == "middle":
        for at in range(12288, len(data), 4096):
            data[at + 100] ^= 1
    data = {"short": data[: len(data) // 2], "text": b"text\n" * 9999, "empty": b""}.get(
        fault, data
    )
    (tmp_path / "bad").write_bytes(data)
    with pytest.raises((InputBroken, InputUnreadable), match=r"bad`: DuckDB says: ") as caught:
        read([tmp_path / "bad"], "duckdb", table="t")
    assert caught.value.hint


def test_columns_keep_their_order_and_names(database):
    """Also those that differ by case alone: SQL has them with numbers, outputs as they are."""
    inputs = resolve_inputs([str(database)])
    query = "SELECT 1 AS b, 'x' AS a, 2 AS A"
    source = open_tables(inputs, "duckdb", batch_bytes=1, table=query)
    plain = [("b", pa.int32()), ("a_0", pa.string()), ("A_1", pa.int32())]
    assert source.schema == pa.schema(plain)
    rows = [rows.batch.to_pylist() for rows in source.batches()]
    assert rows == [[{"b": 1, "a_0": "x", "A_1": 2}]]


def test_a_table_of_many_columns_is_read_in_the_memory_that_they_take(tmp_path, monkeypatch):
    """DuckDB holds a block of each; 1,000 of them did not fit in what it had."""
    monkeypatch.setattr("dbshuf.source.tables.duckdb._MEMORY_BYTES", 24 << 20)
    monkeypatch.setattr("dbshuf.source.tables.duckdb._COUNTED_COLUMNS", 8)
    columns = ", ".join(f"hash(i + {number}) as c{number}" for number in range(150))
    with duckdb.connect(str(tmp_path / "in.duckdb")) as connection:
        connection.execute(f"create table t as select {columns} from range(20000) r(i)")
    assert (
        len(read([tmp_path / "in.duckdb"], "duckdb", table="t", columns=frozenset(["c0"]))) == 20000
    )
