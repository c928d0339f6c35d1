"""Adding rows of tables and of JSON lines: a store has their columns, and keeps to them."""

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from store_tools import added, ask, read_rows, written

from dbshuf.api import ingest
from dbshuf.errors import SchemaMismatch


def test_rows_of_tables_keep_their_columns(tmp_path):
    """In one order of columns; names of dbshuf's own columns give way."""
    store = tmp_path / "s.duckdb"
    first = pa.table({"id": [7, 8, 9], "text": ["a", None, "c"]})
    pq.write_table(first, tmp_path / "a.parquet", row_group_size=2)
    pq.write_table(first.slice(1).select(["text", "id"]), tmp_path / "b.parquet")
    ingest(store, [tmp_path / "a.parquet", tmp_path / "b.parquet"])
    rows = first.to_pylist()
    found, schema = read_rows(store)
    assert found == dict(enumerate(rows)) | {1 << 44 | i: row for i, row in enumerate(rows[1:])}
    assert schema == first.schema
    assert [name for name, *_ in ask(store, "describe lines")] == [
        "dbshuf_id", "source", "id", "text",
    ]  # fmt: skip
    pq.write_table(pa.table({"id": ["x"], "text": ["y"]}), tmp_path / "c.parquet")
    with pytest.raises(SchemaMismatch, match="`id` is int64 and string"):
        ingest(store, tmp_path / "c.parquet")
    assert len(read_rows(store)[0]) == 5


def test_a_type_that_a_store_would_change_is_refused(tmp_path):
    """Before there is a store."""
    table = pa.table({"at": pa.array([1], pa.duration("us"))})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(SchemaMismatch, match="`at` is duration"):
        ingest(tmp_path / "s.duckdb", tmp_path / "a.parquet")
    assert {path.name for path in tmp_path.iterdir()} == {"a.parquet"}


def test_csv_is_asked_for_once(tmp_path):
    """The store knows what text holds from then on."""
    a, b = written(tmp_path, a=b'n,t\n1,"x\ny"\n', b=b"n,t\n2,z\n")
    store = tmp_path / "s.duckdb"
    ingest(store, a, input_format="csv")
    ingest(store, [a, b])
    found, _ = read_rows(store)
    assert [row["t"] for row in found.values()] == ["x\ny", "z"]


def test_tables_of_one_database_are_inputs_of_their_own(tmp_path):
    """A path and a table are one input."""
    with duckdb.connect(str(tmp_path / "d.duckdb")) as connection:
        connection.execute("create table a as select 1 as n; create table b as select 2 as n")
    store = tmp_path / "s.duckdb"
    for table in ("a", "b", "a"):
        result = ingest(store, tmp_path / "d.duckdb", table=table)
    assert added(result) == [False]
    assert read_rows(store)[0] == {0: {"n": 1}, 1 << 44: {"n": 2}}


def test_json_lines_have_the_columns_of_all_inputs_of_the_first_call(tmp_path):
    """Also where that call was interrupted; a value without a column is refused later."""
    lines = [b'{"n": 1, "t": "x"}\n\n{"n": 2}\n', b'{"n": 0.5}\n', b'{"n": 3, "t": null}\n']
    a, b, c = written(tmp_path, a=lines[0], b=lines[1], c=lines[2])
    whole, part = tmp_path / "w.duckdb", tmp_path / "p.duckdb"
    ingest(whole, [a, b, c], input_format="json")
    ingest(part, [a, b, c], input_format="json")
    with duckdb.connect(str(part)) as connection:  # as if killed after the second input
        connection.execute("delete from lines where id >> 44 = 2")
        connection.execute("delete from sources where ordinal = 2")
    assert added(ingest(part, [a, b, c])) == [False, False, True]
    assert read_rows(part) == read_rows(whole)
    assert [row["n"] for row in read_rows(whole)[0].values()] == [1, 2, 0.5, 3]
    (more,) = written(tmp_path, d=b'{"n": 1.5, "u": [1]}\n')
    with pytest.raises(SchemaMismatch, match="`u` is missing"):
        ingest(whole, more)
