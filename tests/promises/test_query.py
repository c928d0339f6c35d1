"""`dbshuf query`: one SELECT over the inputs, in its own order, for people and for programs."""

import csv
import gzip
import io
import itertools
import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

A = b"".join(b"%d %s\n" % (i, b"ab" * (i % 7)) for i in range(400))
B = b"".join(b"%d, \xe9\x9b\xaa\n" % i for i in range(150)) + b"last"
COUNTS = [
    (name, len(lines), sum(map(len, lines)) / len(lines))
    for name, lines in (("a.txt", A.splitlines()), ("b.txt", B.splitlines()))
]
PER_SOURCE = "select source, count(*) as n, avg(bytes) as mean from lines group by all order by 1"


def pointed_at(err: str) -> str:
    """Return the user's SQL from the place that the caret points at."""
    for above, below in itertools.pairwise(err.splitlines()):
        if "^" in below and not below.strip(" ^~|│"):
            return above[below.index("^") :]
    pytest.fail(f"no caret in: {err}")


def from_json(data: bytes) -> list[dict[str, object]]:
    """Return rows from a JSON array or from JSON lines."""
    text = data.decode().strip()
    if text.startswith("["):
        return json.loads(text)
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def files(corpus) -> list[str]:
    corpus("in/a.txt", A)
    corpus("in/b.txt", gzip.compress(B))
    return ["in/"]


@pytest.fixture
def query(cli, files) -> Callable:
    """Query the two files; it must work."""

    def run(sql: str, *options: object, inputs: tuple[object, ...] = ()):
        ran = cli("query", *(inputs or files), sql, *options)
        assert ran.code == 0, ran.err
        return ran

    return run


@pytest.fixture
def refused(cli, files, home, snapshot) -> Callable:
    """Query what must end with one exit code, print nothing, and change nothing on disk."""

    def run(code: int, sql: str, *options: object, inputs: tuple[object, ...] = ()):
        before = snapshot(home)
        ran = cli("query", *(inputs or files), sql, *options)
        assert (ran.code, ran.out) == (code, b""), ran.err
        assert not re.search("Traceback|No such (option|command)|s3cret", ran.err), ran.err
        assert snapshot(home) == before
        return ran

    return run


def test_a_query_answers_in_csv_json_and_parquet(query, home):
    """Lines a file, and their mean length, as counted in Python."""
    head, *rows = csv.reader(io.StringIO(query(PER_SOURCE, "--format", "csv").out.decode()))
    assert head == ["source", "n", "mean"]
    assert [(Path(s).name, int(n), float(mean)) for s, n, mean in rows] == COUNTS
    rows = from_json(query(PER_SOURCE, "--format", "json").out)
    assert [(Path(r["source"]).name, r["n"], r["mean"]) for r in rows] == COUNTS
    for name in ("out.parquet", "out.json"):
        ran = query(PER_SOURCE, "--format", name.removeprefix("out."), "-o", name)
        assert ran.out == b""
    rows = pq.read_table(home / "out.parquet").to_pylist()
    assert [(Path(r["source"]).name, r["n"], r["mean"]) for r in rows] == COUNTS
    assert len(from_json((home / "out.json").read_bytes())) == 2


def test_rows_come_in_the_order_of_the_query_with_all_columns_of_lines(query):
    """A query is no shuffle: ORDER BY and LIMIT mean what they mean in SQL."""
    sql = """select line, raw = encode(line) as same, position, bytes, line_number, id
        from lines where source like '%b.txt' order by position desc limit 100"""
    rows = [tuple(row.values()) for row in from_json(query(sql, "--format", "json").out)]
    want, position = [], 0
    for number, line in enumerate(B.splitlines(), 1):
        row_id = 1 << 44 | position
        want.append((line.decode(), True, position, len(line), number, row_id))
        position += len(line) + 1
    assert rows == want[:-101:-1]


def test_the_first_lines_are_left_out_where_they_are_said_to_be_a_header(query, refused, corpus):
    """As `shuffle --header` lets SQL see none of them; they must be equal."""
    inputs = corpus("one.txt", b"head\na\nb\n"), corpus("two.txt", gzip.compress(b"head\nc"))
    sql = "select line, position from lines order by all"
    out = query(sql, "--header", 1, "--format", "csv", inputs=inputs).out
    assert out == b"line,position\na,5\nb,7\nc,5\n"
    refused(7, sql, "--header", 1, inputs=(*inputs, corpus("other.txt", b"other\nd\n")))


def test_values_arrive_whole_in_every_format(query, home):
    """Quotes, newlines, nested values, nulls, numbers of 64 bits, and no rows at all."""
    sql = """select 'a "b", c' || chr(10) || 'é' as t, null::int as z, 9007199254740993 as big,
        true as ok, [1, null] as l, {'k': 'v'} as s"""
    one = {"t": 'a "b", c\né', "z": None, "big": 9007199254740993, "ok": True}
    want = one | {"l": [1, None], "s": {"k": "v"}}
    assert from_json(query(sql, "--format", "json").out) == [want]
    query(sql, "--format", "parquet", "-o", "out.parquet")
    assert pq.read_table(home / "out.parquet").to_pylist() == [want]
    flat = sql.partition(", [1")[0]
    got = list(csv.DictReader(io.StringIO(query(flat, "--format", "csv").out.decode())))
    assert [(row["t"], row["z"], row["big"]) for row in got] == [(one["t"], "", str(one["big"]))]
    none = "select line, bytes from lines where false"
    assert query(none, "--format", "csv").out.replace(b'"', b"").split() == [b"line,bytes"]
    assert from_json(query(none, "--format", "json").out) == []


def test_a_terminal_gets_a_table(files, start, corpus):
    """Columns with their names, and every value in reach of the eye."""
    terminal, end = os.openpty()
    child = start("query", *files, PER_SOURCE, stdout=end, stderr=subprocess.PIPE)
    os.close(end)
    shown = b""
    try:
        while part := os.read(terminal, 65536):
            shown += part
    except OSError:  # the terminal's other end is closed
        pass
    os.close(terminal)
    assert child.wait(timeout=30) == 0, child.stderr.read()
    text = shown.decode()
    for word in ("source", "n", "mean", "a.txt", "b.txt", "400", "151"):
        assert word in text
    assert len(text.splitlines()) >= 4


def test_typed_inputs_are_queried_by_their_columns(query, corpus, home):
    """Parquet, JSON rows and CSV: what --from and --table do for shuffle they do here."""
    rows = [{"lang": ("en", "de", None)[i % 3], "n": i} for i in range(90)]
    pq.write_table(pa.Table.from_pylist(rows), home / "t.parquet")
    corpus("t.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
    corpus(
        "t.csv",
        "".join(
            f"{row['lang'] or ''},{row['n']}\n" for row in [{"lang": "lang", "n": "n"}, *rows]
        ).encode(),
    )
    sql = "select nullif(lang, '') as lang, sum(n::int)::int as s from lines group by 1 order by 1"
    want = [
        {"lang": lang, "s": sum(r["n"] for r in rows if r["lang"] == lang)}
        for lang in ("de", "en", None)
    ]
    for name, options in (
        ("t.parquet", ()),
        ("t.jsonl", ("--from", "json")),
        ("t.csv", ("--from", "csv")),
    ):
        ran = query(sql, *options, "--format", "json", inputs=(name,))
        assert from_json(ran.out) == want, name


def test_standard_input_can_be_queried(cli):
    """`zcat big.gz | dbshuf query - "select ..."`."""
    ran = cli("query", "-", "select count(*) as n from lines", "--format", "json", stdin=A)
    assert ran.code == 0, ran.err
    assert from_json(ran.out) == [{"n": 400}]


def test_a_query_is_one_select_inside_the_fence(refused, query, corpus, home):
    """No statement, no file, no setting; what is allowed by name can be joined."""
    corpus("secret.csv", b"x\ns3cret\n")
    for sql in (
        "drop table lines",
        "copy (select 1) to 'x.csv'",
        "select 1; select 2",
        "from read_text('secret.csv')",
        "from glob('*')",
    ):
        refused(19, sql, "--format", "csv")
    sql = "select x from read_csv('secret.csv', header = true)"
    ran = query(sql, "--allow-files", "secret.csv", "--format", "json")
    assert from_json(ran.out) == [{"x": "s3cret"}]


def test_wrong_sql_and_values_that_fail_have_their_own_codes(refused, corpus, home):
    """Pointed at, with the columns that exist; and an older output stays."""
    corpus("out.parquet", b"old")
    out = ("--format", "parquet", "-o", "out.parquet")
    ran = refused(19, "select line, upper(nope) as u from lines", *out)
    assert pointed_at(ran.err).startswith("nope) as u")
    assert all(re.search(rf"\b{name}\b", ran.err) for name in ("line", "bytes", "position"))
    assert pointed_at(refused(19, "select line frm lines where 1 > 2", *out).err)
    refused(20, "select sum(line::int) from lines", *out)
    assert "missing.txt" in refused(3, "select 1", inputs=("missing.txt",)).err
    assert refused(2, "select 1", "--format", "docx").err


def test_bytes_that_are_no_utf8_fail_only_where_line_is_used(refused, query, corpus):
    """Counting lines needs no text."""
    corpus("bad.txt", A + b"\xff\n")
    sql = "select count(*) as n, max(octet_length(raw)) as m from lines"
    rows = from_json(query(sql, "--format", "json", inputs=("bad.txt",)).out)
    assert rows == [{"n": 401, "m": max(map(len, A.splitlines()))}]
    ran = refused(8, "select max(line) from lines", "--format", "csv", inputs=("bad.txt",))
    assert "bad.txt" in ran.err
    assert len(A) in ran.numbers(), ran.err
