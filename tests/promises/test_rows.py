"""Rows of tables: Parquet, CSV, TSV, JSON lines, Arrow, DuckDB and SQLite, in the one order."""

import csv
import datetime
import decimal
import gzip
import io
import json
import re
import sqlite3
from collections.abc import Callable, Sequence

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
import reference

STRATEGIES = ("memory", "spill", "partition")
TEXTS = ("plain", "two\nlines", "", 'a "quote", comma', "雪\tÄ", None, "NULL", "007", "\\n", " x ")
SCHEMA = pa.schema(
    {
        "n": pa.int64(),
        "text": pa.string(),
        "tags": pa.list_(pa.string()),
        "pair": pa.struct({"x": pa.int32(), "y": pa.string()}),
        "score": pa.float64(),
        "flag": pa.bool_(),
        "day": pa.date32(),
        "at": pa.timestamp("us"),
        "price": pa.decimal128(10, 2),
        "blob": pa.binary(),
    }
)


def some_rows(first: int, count: int) -> list[dict[str, object]]:
    """Return rows of SCHEMA with nulls on every level."""
    return [
        {
            "n": i,
            "text": TEXTS[i % len(TEXTS)],
            "tags": None if i % 11 == 3 else ["a", None, str(i)][: i % 4],
            "pair": None if i % 13 == 5 else {"x": i, "y": None if i % 2 else "y"},
            "score": None if i % 17 == 0 else i / 4,
            "flag": (None, True, False)[i % 3],
            "day": datetime.date(2020, 1, 1) + datetime.timedelta(i),
            "at": datetime.datetime(1969, 12, 31, 23, 59, 59, i),
            "price": decimal.Decimal(i).scaleb(-2),
            "blob": bytes([i % 256, 0, 255]),
        }
        for i in range(first, first + count)
    ]


def in_order(*inputs: Sequence[object], seed: str = "42") -> list[object]:
    """Return the rows of some tables in output order."""
    ids = [(ordinal << 44 | row) for ordinal, rows in enumerate(inputs) for row in range(len(rows))]
    rows = [row for rows in inputs for row in rows]
    return [row for _, row in sorted(zip((reference.key(i, seed) for i in ids), rows, strict=True))]


def types(schema: pa.Schema) -> dict[str, str]:
    """Return the columns' types as text; how wide offsets are and what items are called aside."""
    plain = {field.name: str(field.type).replace("large_", "") for field in schema}
    return {name: re.sub(r"(list<)\w+: ", r"\1", text) for name, text in plain.items()}


def csv_of(rows: Sequence[Sequence[object]], delimiter: str = ",", end: str = "\r\n") -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator=end).writerows(rows)
    return text.getvalue().encode()


@pytest.fixture
def parquet(cli, home) -> Callable[..., pa.Table]:
    """Shuffle to Parquet with seed 42 and read the result."""

    def run(*args: object) -> pa.Table:
        ran = cli("shuffle", *args, "-o", "out.parquet", "--seed", "42")
        assert ran.code == 0, ran.err
        return pq.read_table(home / "out.parquet")

    return run


@pytest.fixture
def refused(cli, home, snapshot) -> Callable:
    """Run a command line that must end with one of some exit codes and change nothing on disk."""

    def run(codes: set[int], *args: object):
        before = snapshot(home)
        ran = cli("shuffle", *args, "-o", "out.parquet")
        assert ran.code in codes, ran.err
        assert not re.search("Traceback|No such option", ran.err), ran.err
        assert snapshot(home) == before
        return ran

    return run


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_parquet_files_of_one_schema_are_one_table(strategy, parquet, home):
    """Nested values and nulls arrive; row groups and an empty file in between change no id."""
    parts = [some_rows(0, 350), [], some_rows(350, 200)]
    for name, rows in zip("abc", parts, strict=True):
        table = pa.Table.from_pylist(rows, SCHEMA)
        pq.write_table(table, home / f"{name}.parquet", row_group_size=60)
    table = parquet("a.parquet", "b.parquet", "c.parquet", "--strategy", strategy)
    assert types(table.schema) == types(SCHEMA)
    assert table.to_pylist() == in_order(*parts)


@pytest.mark.parametrize("options", [("--threads", 1), ("--threads", 4, "--memory", "450MB")])
def test_row_numbers_count_on_over_row_groups_read_side_by_side(options, parquet, home):
    """A row's number is its place in the file, whoever reads it."""
    numbers = np.arange(200_000)
    table = pa.table({"n": numbers, "text": [f"row {n} " + "x" * 80 for n in numbers]})
    pq.write_table(table, home / "in.parquet", row_group_size=1000)
    got = parquet("in.parquet", *options)
    order = reference.keys_of(numbers, "42").argsort()
    assert got["n"].to_pylist() == order.tolist()
    assert got["text"].to_pylist() == table["text"].take(order).to_pylist()


def test_where_select_and_sql_see_the_columns_of_the_table(parquet, cli, home):
    """Filters keep the place of what stays; a column as text is a text file."""
    rows = some_rows(0, 300)
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), home / "a.parquet", row_group_size=70)
    ids = {row["n"]: row for row in in_order(rows)}
    got = parquet("a.parquet", "--where", "flag and pair.x % 2 = 1", "--select", "n, tags[1] as t")
    kept = [row for row in ids.values() if row["flag"] and row["pair"] and row["n"] % 2]
    assert got.to_pylist() == [{"n": r["n"], "t": (r["tags"] or [None])[0]} for r in kept]
    ran = cli("shuffle", "a.parquet", "--select", "'r' || n", "--where", "n > 9", "--seed", "42")
    assert ran.code == 0, ran.err
    assert ran.out.decode().split() == [f"r{n}" for n in ids if n > 9]
    (home / "q.sql").write_text("select flag, count(*) as c from lines group by 1 order by 1")
    got = parquet("a.parquet", "--sql", "q.sql").to_pylist()
    assert got == in_order([{"flag": flag, "c": 100} for flag in (False, True, None)])


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        ({"n": [1], "text": ["a"]}, {"n": [1.5], "text": ["a"]}, "n"),
        ({"n": [1], "text": ["a"]}, {"n": [1]}, "text"),
        ({"n": [1]}, {"n": [1], "extra": ["x"]}, "extra"),
    ],
)
def test_a_differing_schema_is_an_error_that_shows_both(first, second, shown, refused, home):
    """Columns are neither dropped nor made up nor turned into another type."""
    for name, columns in (("a", first), ("b", first), ("c", second)):
        pq.write_table(pa.table(columns), home / f"{name}.parquet")
    ran = refused({21}, "a.parquet", "b.parquet", "c.parquet")
    for word in ("a.parquet", "c.parquet", shown, "hint:"):
        assert re.search(rf"\b{word}", ran.err), ran.err


def test_inputs_of_two_kinds_are_refused(refused, corpus, home):
    """Rows of a table and lines of text have no order in common."""
    pq.write_table(pa.table({"line": ["a"]}), home / "a.parquet")
    assert "b.txt" in refused({2, 21}, "a.parquet", corpus("b.txt", b"b\n")).err


@pytest.mark.parametrize(("kind", "end"), [("csv", "\r\n"), ("tsv", "\n")])
def test_csv_values_are_text_as_it_stands(kind, end, parquet, corpus):
    """Quoted newlines, `007`, NULL the word; an empty field is the empty string."""
    head, more = ["id", "Some text", "more"], ("1e3", "true", "a\n" * 50_000)
    values = [(f"{i:03}", TEXTS[i % 10] or "", more[i % 2 + (i == 333)]) for i in range(500)]
    parts = [values[:400], [], values[400:]]
    blobs = [csv_of([head, *part], "," if kind == "csv" else "\t", end) for part in parts]
    names = [f"{number}.{kind}" for number in range(3)]
    for name, blob in zip(names, (blobs[0], blobs[1], gzip.compress(blobs[2])), strict=True):
        corpus(name, blob)
    table = parquet(*names, "--from", kind)
    assert types(table.schema) == dict.fromkeys(head, "string")
    assert [tuple(row.values()) for row in table.to_pylist()] == in_order(*parts)
    got = parquet(names[0], "--from", kind, "--select", "id::int as n", "--where", "more <> '1e3'")
    assert got["n"].to_pylist() == [int(row[0]) for row in in_order(parts[0]) if row[2] != "1e3"]


def test_no_bad_record_is_skipped(refused, corpus):
    """Path and place, and no output: also for what only one row in thousands shows."""
    good = [["a", "b"], *([str(i), "x"] for i in range(5000))]
    corpus("cast.csv", csv_of([*good, ["seven", "x"], *good[1:]]))
    ran = refused({20}, "cast.csv", "--from", "csv", "--select", "a::int as a")
    assert "cast.csv" in ran.err
    assert 5000 in ran.numbers(), ran.err
    corpus("ragged.csv", csv_of([*good, ["1", "2", "3"], *good[1:]]))
    assert "ragged.csv" in refused({6, 20, 21}, "ragged.csv", "--from", "csv").err
    corpus("bytes.csv", csv_of(good) + b"\xff,x\r\n")
    assert "bytes.csv" in refused({8}, "bytes.csv", "--from", "csv").err
    corpus("other.csv", csv_of([["a", "c"], ["1", "2"]]))
    corpus("good.csv", csv_of(good))
    assert "other.csv" in refused({21}, "good.csv", "other.csv", "--from", "csv").err
    lines = b"".join(b'{"n": %d}\n' % i for i in range(30_000))
    for bad in (b"{no json}\n", b'["no object"]\n'):
        corpus("bad.jsonl", lines + bad + lines)
        ran = refused({20, 21}, "bad.jsonl", "--from", "json")
        assert "bad.jsonl" in ran.err
        assert len(lines) in ran.numbers(), ran.err


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_json_rows_are_typed_and_stand_where_their_lines_would(strategy, parquet, corpus):
    """The same seed gives the order of the same file shuffled as text; missing keys are null."""
    rows = [
        {"n": i, "text": TEXTS[i % 9], "score": i / 8, "flag": i % 2 == 0}
        | ({"tags": ["a", "b"][: i % 3], "meta": {"k": f"é{i}", "deep": {"x": i}}} if i % 5 else {})
        for i in range(500)
    ]
    data = "".join(json.dumps(row, ensure_ascii=i % 2 == 0) + "\n" for i, row in enumerate(rows))
    parts = [data.encode(), json.dumps(rows[-1]).encode()]
    inputs = corpus("a.jsonl", parts[0]), corpus("b.gz", gzip.compress(parts[1]))
    line = (*inputs, "--from", "json", "--strategy", strategy)
    want = [json.loads(text) for _, text in reference.keyed(parts, "42")]
    table = parquet(*line)
    assert table.to_pylist() == [{"tags": None, "meta": None} | row for row in want]
    plain = {"n": "int64", "text": "string", "score": "double", "flag": "bool"}
    deep = {"tags": "list<string>", "meta": "struct<k: string, deep: struct<x: int64>>"}
    assert types(table.schema) == plain | deep
    got = parquet(*line, "--where", "n > 7 and meta.deep.x % 3 = 0", "--select", "meta.k as k")
    kept = [row["meta"] for row in want if row["n"] > 7 and "meta" in row]
    assert got["k"].to_pylist() == [meta["k"] for meta in kept if meta["deep"]["x"] % 3 == 0]


def test_a_json_key_that_only_a_late_row_has_is_not_lost(cli, corpus, home):
    """A type guessed from the first rows must hold for the last, or the run must fail."""
    data = b"".join(b'{"n": %d}\n' % i for i in range(50_000)) + b'{"n": 0.5, "late": "here"}\n'
    ran = cli("shuffle", corpus("in.jsonl", data), "--from", "json", "-o", "out.parquet")
    assert ran.code in (0, 20, 21), ran.err
    if ran.code:
        assert "in.jsonl" in ran.err
        assert not (home / "out.parquet").exists()
    else:
        rows = pq.read_table(home / "out.parquet").to_pylist()
        assert [row["n"] for row in rows if row["late"] == "here"] == [0.5]


def test_a_table_or_a_query_of_a_duckdb_file_is_read(parquet, refused, home):
    """In the order of its rows, and the file stays as it was."""
    rows = [row for row in some_rows(0, 400) if row["n"] % 2]
    source = pa.Table.from_pylist(rows, SCHEMA)
    with duckdb.connect(str(home / "in.duckdb")) as con:
        con.sql("create table docs as from source; create table other as select 1 as x")
    before = (home / "in.duckdb").read_bytes()
    table = parquet("in.duckdb", "--table", "docs")
    assert types(table.schema) == types(source.schema)
    assert table.to_pylist() == in_order(rows)
    query = "select n, text from docs where n % 3 = 0 order by n desc"
    table = parquet("in.duckdb", "--table", query, "--where", "text is not null")
    want = [{"n": row["n"], "text": row["text"]} for row in rows[::-1] if row["n"] % 3 == 0]
    assert table.to_pylist() == [row for row in in_order(want) if row["text"] is not None]
    (home / "out.parquet").unlink()
    assert "absent" in refused({2, 3, 19}, "in.duckdb", "--table", "absent").err
    refused({2, 19}, "in.duckdb", "--table", "drop table docs")
    assert (home / "in.duckdb").read_bytes() == before


def test_a_table_or_a_query_of_an_sqlite_file_is_read(parquet, refused, home):
    """In the order of rowid; integers of 64 bits, bytes and nulls; the file stays as it was."""
    rows = [(i, 2**62 + i, f"é {i}" if i % 7 else None, i / 4, b"\0" * i) for i in range(400)]
    with sqlite3.connect(home / "in.sqlite") as con:
        con.execute("create table docs (n integer, big integer, text text, x real, b blob)")
        con.executemany("insert into docs values (?, ?, ?, ?, ?)", rows)
        con.execute("create table mixed (n integer)")
        con.executemany("insert into mixed values (?)", [(i,) for i in range(5000)] + [("abc",)])
    con.close()
    before = (home / "in.sqlite").read_bytes()
    table = parquet("in.sqlite", "--table", "docs")
    names = {"n": "int64", "big": "int64", "text": "string", "x": "double", "b": "binary"}
    assert types(table.schema) == names
    assert [tuple(row.values()) for row in table.to_pylist()] == in_order(rows)
    table = parquet("in.sqlite", "--table", "select n, text from docs where n > 99 order by n desc")
    want = [(row[0], row[2]) for row in rows[:99:-1]]
    assert [tuple(row.values()) for row in table.to_pylist()] == in_order(want)
    (home / "out.parquet").unlink()
    assert "row 5000" in refused({20, 21}, "in.sqlite", "--table", "mixed").err
    refused({2, 19}, "in.sqlite", "--table", "drop table docs")
    assert (home / "in.sqlite").read_bytes() == before


@pytest.mark.parametrize("make", [pa.ipc.new_file, pa.ipc.new_stream])
def test_arrow_files_and_streams_are_read(make, parquet, home):
    """Batches of any size, one after the other."""
    parts = [some_rows(0, 333), some_rows(333, 100)]
    for name, rows in zip("ab", parts, strict=True):
        with make(home / f"{name}.arrow", SCHEMA) as writer:
            writer.write_table(pa.Table.from_pylist(rows, SCHEMA), max_chunksize=50)
    table = parquet("a.arrow", "b.arrow", "--from", "arrow")
    assert types(table.schema) == types(SCHEMA)
    assert table.to_pylist() == in_order(*parts)


def test_a_table_needs_a_name_and_a_kind_that_exists(refused, corpus):
    """Refused before any work."""
    assert "--from" in refused({2}, corpus("in.txt", b"a\n"), "--from", "docx").err
    assert "--table" in refused({2}, "in.txt", "--table", "docs").err


def database(path, table):
    """Make a database that has one table with two rows."""
    quoted = '"' + table.replace('"', '""') + '"'
    connect = duckdb.connect if path.suffix == ".duckdb" else sqlite3.connect
    connection = connect(str(path))
    connection.execute(f"CREATE TABLE {quoted}(a INTEGER)")
    connection.execute(f"INSERT INTO {quoted} VALUES (1), (2)")
    connection.commit()
    connection.close()


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_the_only_table_of_a_database_is_taken_and_named(kind, cli, home):
    """Nothing else can be meant; each of several databases has its own."""
    names = [f"one.{kind}", f"two.{kind}"]
    database(home / names[0], "docs")
    database(home / names[1], 'no "main.x\x1b')
    want = cli("shuffle", names[0], "--table", "docs", "--seed", "1", "--format", "csv").out
    ran = cli("shuffle", names[0], "--seed", "1", "--format", "csv")
    assert (ran.code, ran.out) == (0, want), ran.err
    assert ran.err.endswith(", seed 1, table `docs`\n")
    ran = cli("shuffle", *names, "--seed", "1", "--format", "csv")
    assert ran.err.endswith(', tables `docs`, `no "main.x\\x1b`\n')
    assert len(ran.out.splitlines()) == 5
    plan = json.loads(cli("plan", *names, "-o", "o.csv", "--json").out)
    assert [one["table"] for one in plan["inputs"]] == ["docs", 'no "main.x\x1b']
    assert b"table `docs`" in cli("plan", names[0], "-o", "o.csv").out
    assert b"2" in cli("query", names[0], "select count(*) from lines").out
    assert cli("ingest", "store.db", names[0]).code == 0
    assert "1 there already" in cli("ingest", "store.db", names[0], "--table", "docs").err
    ran = cli("export", "store.db", "--seed", "1", "--format", "csv")
    assert ran.out == want
