"""--sql: one SELECT over all rows, whatever it does, within its memory."""

import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from paths import HELPERS
from query_tools import LINES, refused, relation, run_whole

from dbshuf.errors import InputChanged, InputMissing, QueryFailed, TempSpaceShort
from dbshuf.query.statement_run import StatementRun
from dbshuf.query.whole_statement import WholeQuery

WORDS = [f"{n % 700} some words" for n in range(2000)]
BATCHES = [relation(WORDS[first : first + 300], first) for first in range(0, 2000, 300)]


def test_a_result_column_id_is_the_id_and_leaves_the_schema(tmp_path):
    """Exact dedup: the first of equal lines, with its id."""
    found, query = run_whole(
        "SELECT min(id) AS id, line FROM lines GROUP BY line", BATCHES, tmp_path
    )
    assert query.has_id
    assert query.schema == pa.schema([("line", pa.string())])
    assert query.columns == {"id", "line"}
    assert sorted(found) == [(n, {"line": WORDS[n]}) for n in range(700)]


def test_rows_without_an_id_are_numbered_as_they_come(tmp_path):
    """In the order that ORDER BY gives, or else in the order of the input."""
    found, query = run_whole("select line from lines order by id desc", BATCHES, tmp_path)
    assert not query.has_id
    assert found == [(n, {"line": line}) for n, line in enumerate(reversed(WORDS))]
    found, _ = run_whole("from lines select bytes, position where bytes > 12", BATCHES, tmp_path)
    assert [row["position"] for _, row in found] == [
        n for n, word in enumerate(WORDS) if len(word) > 12
    ]


def test_an_id_is_an_id_only_where_it_can_be_one(tmp_path):
    """Of type UBIGINT, and not a column of the user's own."""
    assert not WholeQuery("select id::bigint as id, line from lines", LINES).has_id
    assert not WholeQuery("select * from lines", LINES, id_is_data=True).has_id
    assert "id" in WholeQuery("select * from lines", LINES, id_is_data=True).schema.names
    assert WholeQuery("select ID, line from lines", LINES).has_id
    refused(lambda: WholeQuery("select id from lines", LINES), "no column beside `id`")
    with pytest.raises(QueryFailed, match="row 3 of the result has no id"):
        run_whole("select nullif(id, 3) as id, line from lines order by id is null, id"
                  " limit 4", [relation(WORDS[:4])], tmp_path)  # fmt: skip


SEVERAL = {
    "select line from lines where bytes >= (select max(bytes) from lines)": 2,
    "with l as (select id, line from lines) select a.id, b.line from l a join l b using (id)": 1,
    "select id, line from lines l where not exists"
    " (select 1 from lines k where k.line = l.line and k.id < l.id)": 2,
    "from lines union all from lines": 2,
    "with recursive t as (select 0 as n, 0::bigint as s union all"
    " select n + 1, (select count(*) from lines) from t where n < 3) select * from t": 2,
    "select * from lines": 1,
    "with l as materialized (from lines) select a.id, a.line from l a join l b using (id)": 1,
    "with lines as (select line from lines) select * from lines": 1,
    "select line from lines where false": 0,
    "select 1 as x": 0,
}


@pytest.mark.parametrize("text", SEVERAL)
def test_lines_may_be_named_often_although_there_is_one_pass(text, tmp_path):
    """What is read several times is copied first; the result is DuckDB's own over a table."""
    passes = []
    query = WholeQuery(text, LINES)
    assert query.scans == SEVERAL[text]

    def feed():
        passes.append(threading.current_thread().name)
        for batch in BATCHES:
            yield batch.select(sorted(query.columns))

    (tmp_path / "run").mkdir()
    found = [
        {**row, "id": number} if query.has_id else row
        for rows in query.rows(feed, memory_bytes=100 << 20, threads=2, folder=tmp_path / "run")
        for number, row in zip(rows.ids.tolist(), rows.batch.to_pylist(), strict=True)
    ]
    assert len(passes) == (1 if query.scans else 0)
    with duckdb.connect() as connection:
        table = pa.Table.from_batches(BATCHES)
        connection.register("arrow", table)
        connection.execute("create table lines as from arrow")
        expected = connection.sql(text).to_arrow_table().to_pylist()
    assert sorted(map(repr, map(sorted, map(dict.items, found)))) == sorted(
        map(repr, map(sorted, map(dict.items, expected)))
    )


STATEMENTS = {
    "copy lines to 'x.csv'": "this is COPY",
    "attach 'x.db' as x": "this is ATTACH",
    "set threads = 4": "this is SET",
    "install httpfs": "this is LOAD",
    "insert into lines values (1)": "this is INSERT",
    "create table x as select 1": "this is CREATE",
    "select 1; select 2": "this is 2 statements",
    "select 1; drop view lines": "this is DROP",
    "": "this is none",
    "-- nothing": "this is none",
    "describe lines": "DESCRIBE, SHOW and SUMMARIZE",
    "with x as (insert into lines values (1) returning *) from x": "this holds INSERT",
    "with x as (copy (select 1) to 'x.csv') from x": "this holds COPY",
    "pivot lines on source": "PIVOT needs the values",
    "select ? as x": "parameters",
    "select line, line from lines": "two columns `line`",
    "select interval 1 day as x": "`x` of the result is INTERVAL",
}


@pytest.mark.parametrize("text", STATEMENTS)
def test_what_is_no_single_select_is_refused(text):
    """Before any work, and with what it is."""
    refused(lambda: WholeQuery(text, LINES), STATEMENTS[text], "^--sql: ")


def test_an_error_points_at_the_place_in_a_text_of_many_lines():
    """As a file has them."""
    text = "-- what\nSELECT id, line\nFROM lines\nWHERE lnie = 'ä'\n"
    error = refused(lambda: WholeQuery(text, LINES, option="dedup.sql"), "^dedup.sql: .*lnie")
    assert error.message.endswith("\n  WHERE lnie = 'ä'\n        ^")
    assert "the columns of `lines` are line, raw, source" in error.hint
    error = refused(lambda: WholeQuery("select 'é', x from lnies", LINES), "no table `lnies`")
    assert error.message.endswith("\n  select 'é', x from lnies\n                     ^")


def test_a_comment_a_semicolon_and_a_byte_order_mark_are_harmless(tmp_path):
    """As editors leave them."""
    text = "\ufeff/* first */ select line from lines limit 2; -- last"
    assert len(run_whole(text, BATCHES, tmp_path)[0]) == 2


def test_batches_are_small_however_wide_the_rows(tmp_path):
    """Wide rows come few at a time, and narrow ones many."""
    query = WholeQuery("select repeat(line, 3000) as line from lines", LINES)
    sizes = [
        (rows.batch.num_rows, rows.batch.nbytes)
        for rows in query.rows(
            lambda: iter(BATCHES), memory_bytes=100 << 20, threads=1, folder=tmp_path
        )
    ]
    assert sum(rows for rows, _ in sizes) == 2000
    assert max(size for _, size in sizes) < 9 << 20
    narrow = WholeQuery("select bytes from lines", LINES)
    sizes = [
        rows.batch.num_rows
        for rows in narrow.rows(
            lambda: iter(BATCHES), memory_bytes=100 << 20, threads=1, folder=tmp_path
        )
    ]
    assert sizes == [2000]


def endless(closed):
    """Rows without end; notes when it is closed."""
    try:
        first = 0
        while True:
            yield relation(WORDS[:300], first)
            first += 300
    finally:
        closed.append(True)


def test_leaving_early_ends_the_query_its_threads_and_the_pass(tmp_path):
    """A reader of a pipe that has seen enough."""
    closed = []
    rows = WholeQuery("select line from lines", LINES).rows(
        lambda: endless(closed), memory_bytes=100 << 20, threads=2, folder=tmp_path
    )
    assert next(rows).batch.num_rows > 0
    rows.close()
    assert closed == [True]
    assert not [t for t in threading.enumerate() if "_work" in t.name]


@pytest.mark.parametrize(
    "text",
    ["select line from lines", "select line, count(*) as n from lines group by line",
     "select a.line from lines a join lines b using (id)"],
)  # fmt: skip
@pytest.mark.parametrize("first", [True, False])
def test_an_error_of_the_feed_comes_out_as_it_is(text, first, tmp_path):
    """Not as DuckDB's words about it."""
    error = InputChanged("it changed")

    def feed():
        if not first:
            yield from BATCHES
        raise error

    query = WholeQuery(text, LINES)
    with pytest.raises(InputChanged) as caught:
        list(query.rows(feed, memory_bytes=100 << 20, threads=2, folder=tmp_path))
    assert caught.value is error


def test_a_value_that_fails_is_an_error_with_duckdbs_words(tmp_path):
    """And one that needs too much memory says so."""
    with pytest.raises(QueryFailed, match=r"--sql: Could not convert string '\.\.\.' to INT32"):
        run_whole("select line::int as n from lines", BATCHES, tmp_path)
    said = "Malformed JSON at byte 0 of input|DuckDB's ConversionException has no words"
    for text in ("é" * 150, "z" + "é" * 150):  # cut by DuckDB at some byte, here within a letter
        with pytest.raises(QueryFailed, match=f"--sql: ({said})"):
            run_whole("select line::json as j from lines", [relation([text])], tmp_path)
    with pytest.raises(QueryFailed, match=r"cannot run this within its 16\.8 MB"):
        run_whole(
            "select list(l.line || k.line) as x from lines l, lines k",
            BATCHES,
            tmp_path,
            memory_bytes=16 << 20,
        )


def test_a_full_temporary_directory_is_told_from_full_memory(tmp_path):
    """DuckDB calls both out of memory."""
    query = WholeQuery("select line from lines order by line", LINES)
    run = StatementRun(
        query._statement(is_ordered=False),
        lambda: iter(()),
        memory_bytes=1 << 26,
        threads=1,
        folder=tmp_path / "run",
    )
    for text in ("IO Error: Could not write file: No space left on device",
                 "Out of Memory Error: ... max_temp_directory_size ..."):  # fmt: skip
        error = run._explained(OSError(text))
        assert isinstance(error, TempSpaceShort)
        assert f"`{tmp_path}` is full" in error.message


IMPORTED = (str(Path(__file__).parent), str(HELPERS))


INTERRUPT = """
import os, signal, sys, threading
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from test_whole_statement import LINES, WholeQuery, endless
started, closed = threading.Event(), []
def feed():
    started.set()
    yield from endless(closed)
def kill():
    started.wait()
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=kill).start()
query = WholeQuery("select line, max(id) as n from lines group by line", LINES)
try:
    list(query.rows(feed, memory_bytes=100 << 20, threads=2, folder=Path(sys.argv[1])))
except KeyboardInterrupt:
    print("interrupted", closed, [t.name for t in threading.enumerate() if "_work" in t.name])
"""


def test_an_interrupt_ends_a_query_that_gives_nothing_yet(tmp_path):
    """Ctrl-C while DuckDB is still reading."""
    ran = subprocess.run(
        [sys.executable, "-c", INTERRUPT, str(tmp_path), *IMPORTED],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.stdout == "interrupted [True] []\n", ran.stderr
    assert ran.stderr == ""


MEMORY = """
import sys
from pathlib import Path
import numpy as np, pyarrow as pa
from dbshuf.base.process_memory import peak_resident_bytes
from dbshuf.query.whole_statement import WholeQuery
schema = pa.schema([("id", pa.uint64()), ("line", pa.string())])
query = WholeQuery("SELECT min(id) AS id, line FROM lines GROUP BY line", schema)
def feed():
    random = np.random.default_rng(1)
    ends = np.arange(0, 147 * 20_001, 147, dtype=np.int32)
    for first in range(0, 600_000, 20_000):
        text = random.integers(97, 123, 147 * 20_000, dtype=np.uint8)
        lines = [None, pa.py_buffer(ends), pa.py_buffer(text)]
        ids = np.arange(first, first + 20_000, dtype=np.uint64)
        yield pa.RecordBatch.from_arrays(
            [pa.array(ids), pa.Array.from_buffers(pa.string(), 20_000, lines)], schema=schema
        )
before = peak_resident_bytes()
run = query.rows(feed, memory_bytes=40_000_000, threads=2, folder=Path(sys.argv[1]))
print(sum(rows.batch.num_rows for rows in run), peak_resident_bytes() - before)
"""


def test_exact_dedup_of_more_than_its_memory_stays_near_it(tmp_path):
    """88 MB at 40 MB: DuckDB takes up to 63 MB more than its limit (measured)."""
    ran = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    rows, more_bytes = map(int, ran.stdout.split())
    assert rows == 600_000
    assert more_bytes < 40_000_000 + 80_000_000


def test_a_file_that_is_allowed_but_missing_is_named():
    """Before anything is parsed."""
    with pytest.raises(InputMissing, match=r"`nowhere\.csv` does not exist"):
        WholeQuery("select 1 as x", LINES, allow_files=["nowhere.csv"])
