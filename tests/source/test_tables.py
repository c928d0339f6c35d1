"""Typed rows of any inputs: shared by threads, counted, stopped, and surveyed beforehand."""

import os
import sqlite3
import threading

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from typed_sources import expected, piped, read, read_rows

from dbshuf.base.row_batch import row_bytes
from dbshuf.base.workers import Stopped
from dbshuf.errors import InputBeyondBounds, InputBroken, InputChanged, SchemaMismatch
from dbshuf.source.inputs import resolve_inputs
from dbshuf.source.survey import survey_inputs
from dbshuf.source.tables import csv as delimited
from dbshuf.source.tables import reader as table_module
from dbshuf.source.tables.reader import open_tables

TABLE = pa.table({"n": range(2000), "s": [f"value {i}" for i in range(2000)]})
KINDS = ("parquet", "arrow", "csv", "tsv", "duckdb", "sqlite")


def write(path, kind, table=TABLE):
    """Write a table as a file of a kind, in several row groups where there are any."""
    if kind == "parquet":
        pq.write_table(table, path, row_group_size=300)
    elif kind == "arrow":
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table, 300)
    elif kind in ("csv", "tsv"):
        options = pa.csv.WriteOptions(delimiter="," if kind == "csv" else "\t")
        pa.csv.write_csv(table, path, options)
    elif kind == "duckdb":
        with duckdb.connect(path) as connection:
            connection.register("source", table)
            connection.execute("CREATE TABLE t AS FROM source")
    else:
        with sqlite3.connect(path) as connection:
            connection.execute(f"CREATE TABLE t({', '.join(table.column_names)})")
            marks = ", ".join("?" * table.num_columns)
            rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
            connection.executemany(f"INSERT INTO t VALUES ({marks})", rows)
        connection.close()
    return path


def options(kind):
    return {"table": "t"} if kind in ("duckdb", "sqlite") else {}


def opened(path, kind, *, batch_bytes=1000, **more):
    inputs = resolve_inputs([str(path)])
    return open_tables(inputs, kind, batch_bytes=batch_bytes, **options(kind), **more)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_same_rows_under_the_same_ids(kind, tmp_path):
    """And says how many, where it can."""
    paths = [write(tmp_path / name, kind) for name in "ab"]
    rows = TABLE.to_pylist()
    if kind in ("csv", "tsv"):
        rows = [{"n": str(row["n"]), "s": row["s"]} for row in rows]
    found = read(paths, kind, workers=3, batch_bytes=5000, **options(kind))
    assert found == expected([rows, rows])
    source = opened(paths[0], kind)
    assert source.rows == (None if kind in ("csv", "tsv") else 2000)
    size = sum(int(row_bytes(rows.batch).sum()) for rows in source.batches())
    assert (source.seen_rows, source.seen_bytes) == (2000, size)
    source.check_unchanged()


@pytest.mark.parametrize("kind", KINDS)
def test_the_rows_of_one_input_are_shared_by_the_threads(kind, tmp_path, monkeypatch):
    """A thread that is busy with its rows leaves the next ones to the others."""
    monkeypatch.setattr(delimited, "_BLOCK_BYTES", 5000)
    table = pa.table({"n": range(9000)})  # DuckDB gives 2,048 rows at least
    source = opened(write(tmp_path / "a", kind, table), kind, batch_bytes=9000)
    both, shares = threading.Barrier(2, timeout=20), [0, 0]

    def work(worker):
        batches = source.batches()
        shares[worker] += len(next(batches).batch)
        both.wait()  # neither goes on before the other has rows
        shares[worker] += sum(len(rows.batch) for rows in batches)

    threads = [threading.Thread(target=work, args=(worker,), daemon=True) for worker in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sum(shares) == 9000
    assert min(shares) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_columns_may_come_in_any_order_but_must_be_the_same(kind, tmp_path):
    """Those of the first input lead; a file with others is refused before any work."""
    first = write(tmp_path / "first", kind, TABLE.slice(0, 2))
    turned = write(tmp_path / "turned", kind, TABLE.slice(0, 2).select(["s", "n"]))
    rows = read_rows([first, turned], kind, **options(kind))
    assert [list(row) for row in rows] == [["n", "s"]] * 4
    assert rows[:2] == rows[2:]
    other = write(tmp_path / "other", kind, TABLE.rename_columns(["n", "text"]))
    with pytest.raises(SchemaMismatch, match=r"first` and `.*other` differ: `s` is string and"):
        read([first, other], kind, **options(kind))


def test_a_type_that_differs_is_a_mismatch(tmp_path):
    """Even where one could be read as the other."""
    narrow = TABLE.set_column(0, "n", TABLE["n"].cast(pa.int32()))
    paths = [write(tmp_path / "a", "parquet"), write(tmp_path / "b", "parquet", narrow)]
    with pytest.raises(SchemaMismatch, match="differ: `n` is int64 and int32"):
        read(paths, "parquet")


@pytest.mark.parametrize("kind", KINDS)
def test_stop_ends_those_who_read_and_those_who_wait(kind, tmp_path):
    """With Stopped, in the midst of an input."""
    source = opened(write(tmp_path / "a", kind), kind)
    batches = source.batches()
    next(batches)
    source.stop()
    with pytest.raises(Stopped):
        list(batches)
    with pytest.raises(Stopped):
        next(source.batches())
    source.close()


def test_stop_wakes_a_thread_that_waits_for_rows(wait_for):
    """Another one reads from a pipe that is silent."""
    reading, writing = os.pipe()
    data = b"a,b\n" + b"1,2\n" * 50_000  # more than is looked at beforehand
    threading.Thread(target=os.write, args=(writing, data), daemon=True).start()
    source = opened(f"/dev/fd/{reading}", "csv")
    ended = []

    def work():
        try:
            for _ in source.batches():
                pass
        except Stopped:
            ended.append(True)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    wait_for(lambda: source._busy and source._changed._waiters, "a thread that waits")
    source.stop()
    wait_for(lambda: len(ended) == 1, "the end of it")
    os.close(writing)
    wait_for(lambda: len(ended) == 2, "the end of the other")
    os.close(reading)


@pytest.mark.parametrize("kind", KINDS)
def test_an_input_that_changes_is_noticed(kind, tmp_path):
    """Its size or its time."""
    path = write(tmp_path / "a", kind)
    source = opened(path, kind)
    list(source.batches())
    source.check_unchanged()
    os.utime(path)
    with pytest.raises(InputChanged, match="a` changed while it was read"):
        source.check_unchanged()
    source.close()


@pytest.mark.parametrize("kind", ["parquet", "duckdb", "sqlite"])
def test_an_input_that_is_replaced_while_it_is_read_is_no_damaged_one(kind, tmp_path):
    """What went wrong is that it changed."""
    path = write(tmp_path / "a", kind)
    source = opened(path, kind)
    path.write_bytes(b"something else" * 999)
    with pytest.raises(InputChanged, match="a` changed while it was read"):
        list(source.batches())


def test_more_rows_than_an_id_can_name_are_refused(monkeypatch, tmp_path):
    """Two inputs would share ids."""
    path = write(tmp_path / "a", "parquet")
    monkeypatch.setattr(table_module, "POSITION_LIMIT", 1999)
    with pytest.raises(InputBeyondBounds, match="a` has more than 1,999 rows"):
        read([path], "parquet")
    monkeypatch.setattr(table_module, "POSITION_LIMIT", 2000)
    assert len(read([path], "parquet")) == 2000


@pytest.mark.parametrize("kind", ["csv", "arrow"])
def test_a_pipe_is_looked_at_and_opened_before_it_is_read(kind, tmp_path):
    """The columns are asked for, the rows surveyed, and nothing of it is lost."""
    table = pa.table({"n": range(9000), "s": [f"value {i}" for i in range(9000)]})
    data = write(tmp_path / kind, kind, table).read_bytes()
    inputs = [piped(data), piped(data, 1)]
    for _ in range(2):
        open_tables(inputs, kind, batch_bytes=1).close()
        survey = survey_inputs(inputs, kind)
    assert len(read(inputs, kind, workers=2)) == 18_000
    assert survey.text_bytes is None
    assert 20 < survey.mean_line_bytes < 40


@pytest.mark.parametrize("kind", KINDS)
def test_a_survey_tells_how_large_rows_are_and_how_many(kind, tmp_path):
    """Close to what reading finds, with some bytes for every column on top."""
    path = write(tmp_path / "a", kind)
    inputs = resolve_inputs([str(path)] * 3)
    survey = survey_inputs(inputs, kind, **options(kind))
    source = open_tables(inputs, kind, batch_bytes=1 << 20, **options(kind))
    sizes = np.concatenate([row_bytes(rows.batch) for rows in source.batches()])
    assert (survey.columns, survey.is_exact) == (2, False)
    assert 0 < survey.mean_line_bytes - sizes.mean() < 15
    assert 0 < survey.longest_line_bytes - sizes.max() < 15
    assert 1.0 < survey.text_bytes / sizes.sum() < 2.2


def test_a_survey_tells_what_a_reader_holds(tmp_path):
    """A page of 4 MB is decompressed as a whole; a small file takes next to nothing."""
    table = pa.table({"s": [f"{i:08}" * 25 for i in range(60_000)]})
    page_rows = {"data_page_size": 1 << 30, "max_rows_per_page": 20_000, "use_dictionary": False}
    pq.write_table(table, tmp_path / "a", **page_rows)
    survey = survey_inputs(resolve_inputs([str(tmp_path / "a")]), "parquet")
    assert 4_000_000 < survey.reader_bytes < 12_000_000
    small = write(tmp_path / "b", "parquet")
    assert survey_inputs(resolve_inputs([str(small)]), "parquet").reader_bytes < 1_000_000


def test_a_survey_of_nothing_is_no_division_by_zero(tmp_path):
    """An empty table, and a header without rows."""
    empty = write(tmp_path / "a", "parquet", TABLE.slice(0, 0))
    survey = survey_inputs(resolve_inputs([str(empty)]), "parquet")
    assert (survey.text_bytes, survey.longest_line_bytes) == (0, 10)
    assert survey.mean_line_bytes > 1
    assert survey_inputs([piped(b"a,b\n")], "csv").mean_line_bytes > 1


def test_the_first_error_names_its_input_and_ends_the_run(tmp_path):
    """The damage is in the second of two files."""
    paths = [write(tmp_path / name, "csv") for name in ("good", "bad")]
    with paths[1].open("ab") as file:
        file.write(b"1,2,3\n")
    with pytest.raises(InputBroken, match=r"bad` at row 2000: 3 fields"):
        read(paths, "csv", workers=2)
