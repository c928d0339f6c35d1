"""`--schema union`: inputs whose columns differ are one table, and nothing in it is changed."""

import csv
import datetime as dt
import io
import json
import sqlite3

import duckdb
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
import reference

import dbshuf

FIRST = pa.table(
    {
        "n": pa.array([1, None, -3], pa.int32()),
        "text": ["a", None, ""],
        "at": pa.array([dt.datetime(2024, 1, 1)] * 3, pa.timestamp("ms")),
        "pair": pa.array([{"x": 1}, None, {"x": 2}], pa.struct([("x", pa.int16())])),
        "gone": pa.nulls(3),
    }
)
SECOND = pa.table(
    {
        "new": [1.5, 2.5],
        "n": pa.array([2**40, 5], pa.int64()),
        "gone": [True, False],
        "text": pa.array(["b", "c"], pa.large_string()),
        "at": pa.array([dt.datetime(2025, 1, 1)] * 2, pa.timestamp("us")),
        "pair": pa.array([{"y": "q", "x": 70_000}] * 2),
    }
)
UNION = pa.schema(
    {
        "n": pa.int64(),
        "text": pa.string(),
        "at": pa.timestamp("us"),
        "pair": pa.struct([("x", pa.int64()), ("y", pa.string())]),
        "gone": pa.bool_(),
        "new": pa.float64(),
    }
)
STRATEGIES = ("memory", "spill", "partition")


def write_arrow(table, path):
    with pa.ipc.new_file(path, table.schema) as file:
        file.write_table(table)


def write(table, path, kind):
    {"parquet": pq.write_table, "arrow": write_arrow}[kind](table, path)


def in_order(*inputs, seed="42"):
    ids = [(ordinal << 44 | row) for ordinal, rows in enumerate(inputs) for row in range(len(rows))]
    rows = [row for rows in inputs for row in rows]
    return [row for _, row in sorted(zip((reference.key(i, seed) for i in ids), rows, strict=True))]


def with_all(rows):
    """Return rows with every column of UNION."""
    found = []
    for row in rows:
        pair = row.get("pair")
        whole = {name: row.get(name) for name in UNION.names}
        found.append(whole | {"pair": pair and {"x": pair["x"], "y": pair.get("y")}})
    return found


EXPECTED = in_order(with_all(FIRST.to_pylist()), with_all(SECOND.to_pylist()))


@pytest.fixture
def two(home):
    """Write the two tables."""

    def make(kind="parquet"):
        write(FIRST, home / f"a.{kind}", kind)
        write(SECOND, home / f"b.{kind}", kind)
        return f"a.{kind}", f"b.{kind}"

    return make


def shuffled(cli, home, *args):
    ran = cli("shuffle", *args, "-o", "out.parquet", "--seed", "42")
    assert ran.code == 0, ran.err
    return pq.read_table(home / "out.parquet")


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_columns_that_differ_are_one_table(kind, strategy, cli, home, two):
    """By name; missing is null; numbers, moments and structs widen; the order is as ever."""
    table = shuffled(cli, home, *two(kind), "--schema", "union", "--strategy", strategy)
    assert {f.name: f.type for f in table.schema} == {f.name: f.type for f in UNION}
    assert table.schema.names == UNION.names
    assert table.to_pylist() == EXPECTED


def test_the_default_refuses_and_names_the_option(cli, two, home):
    """Nothing is taken for the same that is not; where no union is possible none is advised."""
    ran = cli("shuffle", *two(), "-o", "out.parquet")
    assert ran.code == 21
    assert "--schema union" in ran.err
    pq.write_table(pa.table({"n": ["text"]}), home / "c.parquet")
    ran = cli("shuffle", "a.parquet", "c.parquet", "-o", "out.parquet")
    assert ran.code == 21
    assert "--schema union" not in ran.err
    ran = cli("shuffle", "a.parquet", "c.parquet", "-o", "out.parquet", "--schema", "union")
    assert ran.code == 21
    assert "int32 in `a.parquet` and string in `c.parquet`" in ran.err
    assert not (home / "out.parquet").exists()
    assert cli("shuffle", "a.parquet", "--schema", "all").code == 2


def test_sql_sees_the_union(cli, home, two):
    """--where, --select, --sql and query, and a column that only one input has."""
    names = two()
    table = shuffled(cli, home, *names, "--schema", "union", "--where", "new is null")
    assert table.to_pylist() == [row for row in EXPECTED if row["new"] is None]
    table = shuffled(cli, home, *names, "--schema", "union", "--select", "pair.y as y, n")
    wanted = [{"y": row["pair"] and row["pair"]["y"], "n": row["n"]} for row in EXPECTED]
    assert table.to_pylist() == wanted
    (home / "q.sql").write_text("select id, new, n from lines where n > 1")
    table = shuffled(cli, home, *names, "--schema", "union", "--sql", "q.sql")
    wanted = [{"new": r["new"], "n": r["n"]} for r in EXPECTED if r["n"] and r["n"] > 1]
    assert table.to_pylist() == wanted
    ran = cli("query", *names, "select count(new), sum(n)::bigint from lines", "--schema", "union")
    assert ran.out.splitlines()[1:] == [f"2,{2**40 + 3}".encode()]


def test_every_output_has_the_union(cli, home, two):
    """Text formats too, each its own way."""
    names = [*two(), "--schema", "union", "--seed", "42"]
    lines = cli("shuffle", *names, "--format", "jsonl").out.splitlines()
    found = [json.loads(line) for line in lines]
    assert [(row["n"], row["pair"], row["new"]) for row in found] == [
        (row["n"], row["pair"], row["new"]) for row in EXPECTED
    ]
    flat = ["--select", "n, text, new, gone", "--format", "csv"]
    rows = list(csv.DictReader(io.StringIO(cli("shuffle", *names, *flat).out.decode())))
    assert [row["n"] for row in rows] == [str(row["n"] or "") for row in EXPECTED]
    assert cli("shuffle", *names, "-o", "out.arrow").code == 0
    with pa.ipc.open_file(home / "out.arrow") as file:
        assert file.read_all().to_pylist() == EXPECTED


def test_csv_files_with_other_headers(cli, home):
    """A missing value is null, an empty one the empty string."""
    (home / "a.csv").write_text("x,y\n1,\n")
    (home / "b.csv").write_text("y,z\n2,3\n")
    table = shuffled(cli, home, "a.csv", "b.csv", "--from", "csv", "--schema", "union")
    first, second = {"x": "1", "y": "", "z": None}, {"x": None, "y": "2", "z": "3"}
    assert table.to_pylist() == in_order([first], [second])
    with open(home / "b.csv", "rb") as pipe:
        ran = cli(
            "shuffle", "a.csv", "-", "--from", "csv", "--schema", "union", "--format", "jsonl",
            "--seed", "42", stdin=pipe.read(),
        )  # fmt: skip
    assert [json.loads(line) for line in ran.out.splitlines()] == in_order([first], [second])


@pytest.mark.parametrize("engine", ["sqlite", "duckdb"])
def test_tables_of_databases(engine, cli, home):
    """As files are."""
    for name, sql in (
        ("a", ["create table t(n integer, x text)", "insert into t values (1, 'x')"]),
        ("b", ["create table t(y text, n integer)", "insert into t values ('y', 2)"]),
    ):
        path = home / f"{name}.db"
        connection = sqlite3.connect(path) if engine == "sqlite" else duckdb.connect(str(path))
        for one in sql:
            connection.execute(one)
        connection.commit()
        connection.close()
    table = shuffled(cli, home, "a.db", "b.db", "--table", "t", "--schema", "union")
    wanted = in_order([{"n": 1, "x": "x", "y": None}], [{"n": 2, "x": None, "y": "y"}])
    assert table.to_pylist() == wanted


def test_a_moment_beyond_the_finer_unit_is_an_error_with_its_place(cli, home):
    """Nothing wraps around."""
    far = [dt.datetime(2024, 1, 1)] * 150 + [dt.datetime(9999, 1, 1)]
    pq.write_table(pa.table({"at": pa.array(far, pa.timestamp("ms"))}), home / "a.parquet")
    pq.write_table(pa.table({"at": pa.array(far[:1], pa.timestamp("ns"))}), home / "b.parquet")
    ran = cli("shuffle", "a.parquet", "b.parquet", "--schema", "union", "-o", "out.parquet")
    assert ran.code == 21
    assert "`a.parquet` at row 150: column `at`" in ran.err
    assert not (home / "out.parquet").exists()


def test_inputs_with_no_column_in_common_and_many_rows(cli, home):
    """Rows are counted where a file has none of the columns that are read; a small cap."""
    count = 50_000
    pq.write_table(pa.table({"a": pa.array(range(count))}), home / "a.parquet", row_group_size=7000)
    pq.write_table(pa.table({"b": ["x" * 100] * count}), home / "b.parquet")
    args = ["a.parquet", "b.parquet", "--schema", "union", "--memory", "500MB"]
    table = shuffled(cli, home, *args, "--strategy", "partition")
    assert table.num_rows == 2 * count
    assert sorted(table["a"].drop_null().to_pylist()) == list(range(count))
    assert table["b"].null_count == count
    ran = cli("query", *args[:4], "select count(*) from lines where b is null")
    assert ran.out.split()[1:] == [str(count).encode()]


def test_a_store_holds_the_union_of_its_first_call(cli, home, two, snapshot):
    """Export gives what shuffle gives; what comes later must fit into the columns there are."""
    names = two()
    assert cli("ingest", "s.duckdb", *names, "--schema", "union").code == 0
    ran = cli("export", "s.duckdb", "-o", "out.parquet", "--seed", "42")
    assert ran.code == 0, ran.err
    assert pq.read_table(home / "out.parquet").to_pylist() == EXPECTED
    pq.write_table(pa.table({"n": pa.array([7], pa.int8())}), home / "c.parquet")
    assert cli("ingest", "s.duckdb", "c.parquet").code == 21
    assert cli("ingest", "s.duckdb", *names, "c.parquet", "--schema", "union").code == 0
    ran = cli("export", "s.duckdb", "--seed", "42", "--select", "n, text", "--format", "jsonl")
    again = cli(
        "shuffle", *names, "c.parquet", "--schema", "union", "--seed", "42", "--select", "n, text",
        "--format", "jsonl",
    )  # fmt: skip
    assert ran.out == again.out
    for table in (pa.table({"other": [1]}), pa.table({"n": pa.array([1], pa.uint64())})):
        pq.write_table(table, home / "d.parquet")
        ran = cli("ingest", "s.duckdb", "d.parquet", "--schema", "union")
        assert ran.code == 21
        assert "`d.parquet`" in ran.err


def test_programs_and_plan_take_it(cli, home, two):
    """stream() gives batches of the union, and a plan can be made of it."""
    names = [str(home / name) for name in two()]
    with dbshuf.stream(names, seed=42, schema="union") as reader:
        assert reader.read_all().to_pylist() == EXPECTED
    with pytest.raises(dbshuf.DbshufError, match="differ"):
        dbshuf.stream(names, seed=42)
    ran = cli("plan", *two(), "--schema", "union", "-o", "out.parquet", "--json")
    assert [one["name"] for one in json.loads(ran.out)["columns"]] == UNION.names
    ran = cli("plan", *two(), "--schema", "union", "-o", "out.parquet")
    assert "n int64, text string" in ran.out.decode()


def test_json_lines_take_the_union_by_themselves(cli, home):
    """Also where the first values are null; the option changes nothing there."""
    (home / "a.jsonl").write_text('{"n": null}\n' * 3000 + '{"n": 1, "m": "x"}\n')
    (home / "b.jsonl").write_text('{"n": 2, "k": 1.5}\n')
    for options in ([], ["--schema", "union"]):
        table = shuffled(cli, home, "a.jsonl", "b.jsonl", "--from", "json", *options)
        rows = table.to_pylist()
        assert sum(row == {"n": None, "m": None, "k": None} for row in rows) == 3000
        rest = sorted((row for row in rows if row["n"]), key=lambda row: row["n"])
        assert rest == [{"n": 1, "m": "x", "k": None}, {"n": 2, "m": None, "k": 1.5}]
