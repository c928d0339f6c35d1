"""Parquet of typed rows: every reader sees the rows, and windows leave no trace."""

import os
from dataclasses import replace

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sink_windows import (
    any_lines,
    borders,
    row_windows_of,
    same_file,
    small_groups,
    target_of,
    windows_of,
    write_all,
)
from typed_rows import SCHEMA, batches, many_rows

from dbshuf.errors import NotUtf8, RowUnfit
from dbshuf.sink.formats import parquet
from dbshuf.sink.formats.parquet import taken_apart

few_files = settings(same_file, max_examples=25)


def test_what_the_user_wrote_into_the_schema_is_kept(tmp_path):
    """pandas and datasets keep their column types there; an older order is not kept."""
    path = tmp_path / "out.parquet"
    own = {b"pandas": b"{}", b"huggingface": b"{}", b"dbshuf.seed": b"old", b"dbshuf.x": b"old"}
    schema = pa.schema([pa.field("n", pa.int8(), metadata={b"unit": b"m"})], metadata=own)
    rows = pa.record_batch([pa.array([1, 2], pa.int8())], schema=schema)
    plain = rows.replace_schema_metadata(None)
    write_all(target_of(path, "parquet", schema=schema), row_windows_of(plain))
    got = pq.read_schema(path)
    assert got.field("n").metadata[b"unit"] == b"m"
    assert got.metadata == {
        b"pandas": b"{}",
        b"huggingface": b"{}",
        b"dbshuf.seed": b"42",
        b"dbshuf.order_version": b"1",
    }


@pytest.mark.parametrize(("group_bytes", "groups"), [(1 << 20, 1), (1 << 16, 2)])
def test_a_small_file_is_as_if_it_were_joined_of_groups(group_bytes, groups, tmp_path, monkeypatch):
    """It keeps the group that pyarrow wrote for it, which is not read and written again."""
    rows = many_rows(1_000)
    own = rows.schema.with_metadata({b"own": b"words"})
    target = target_of(
        None, "parquet", schema=own, written=own, bloom=("text",), row_group_bytes=group_bytes
    )
    found, parsed = [], []
    monkeypatch.setattr(parquet, "taken_apart", lambda data: parsed.append(1) or taken_apart(data))
    for small_bytes in (0, parquet._SMALL_BYTES):
        monkeypatch.setattr(parquet, "_SMALL_BYTES", small_bytes)
        path = tmp_path / f"{small_bytes}.parquet"
        parsed.clear()
        write_all(replace(target, path=path), row_windows_of(rows, [10, 700]))
        found.append((path.read_bytes(), len(parsed)))
        assert pq.ParquetFile(path).num_row_groups == groups
    (joined, of_joined), (whole, of_whole) = found
    assert whole == joined
    assert of_joined - of_whole == (groups == 1)


@few_files
@given(rows=batches(SCHEMA), cuts=borders, most_rows=st.integers(1, 7))
def test_typed_rows_come_back_as_they_were(tmp_path, *, rows, cuts, most_rows):
    """All types, nested ones and nulls too; windows leave no trace in the file."""
    paths = [tmp_path / name for name in "ab"]
    with pytest.MonkeyPatch.context() as patch:
        small_groups(patch, most_rows=most_rows)
        write_all(target_of(paths[0], "parquet", schema=SCHEMA), row_windows_of(rows))
        write_all(target_of(paths[1], "parquet", schema=SCHEMA), row_windows_of(rows, cuts))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    table = pq.read_table(paths[0])
    assert table.schema.equals(SCHEMA)
    assert table.to_pylist() == rows.to_pylist()


def test_every_reader_sees_the_same_typed_rows(tmp_path):
    """Several row groups of many pages, columns with nulls and lists."""
    rows = many_rows(90_000)
    paths = [tmp_path / name for name in "ab"]
    for path, cuts in zip(paths, ([], [5, 40_000, 77_777]), strict=True):
        target = target_of(path, "parquet", schema=rows.schema, row_group_bytes=4_000_000)
        write_all(target, row_windows_of(rows, cuts))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    metadata = pq.read_metadata(paths[0])
    sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert [round(size, -3) for size in sizes] == [41_000, 41_000, 8_000]
    assert metadata.row_group(0).column(1).statistics.null_count > 0
    assert pq.read_table(paths[0]).to_batches()[0].schema.equals(rows.schema)
    assert pq.read_table(paths[0]).equals(pa.Table.from_batches([rows]))
    assert pl.read_parquet(paths[0]).equals(pl.from_arrow(rows))
    with duckdb.connect() as con:
        read = con.sql(f"FROM read_parquet('{paths[0]}')").to_arrow_table()
    assert read.to_pylist() == rows.to_pylist()


@few_files
@given(lines=any_lines, cuts=borders, more=borders)
def test_lines_and_rows_of_the_one_column_line_make_one_file(tmp_path, *, lines, cuts, more):
    """The export of a store is the same file as the shuffle of its inputs."""
    paths = [tmp_path / name for name in "ab"]
    rows = pa.record_batch({"line": pa.array([line[:-1].decode() for line in lines], pa.string())})
    with pytest.MonkeyPatch.context() as patch:
        small_groups(patch)
        write_all(target_of(paths[0], "parquet"), windows_of(lines, cuts))
        target = target_of(paths[1], "parquet", schema=rows.schema)
        write_all(target, row_windows_of(rows, more))
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_text_that_is_no_utf8_in_a_typed_column_is_refused(tmp_path):
    """Arrow takes it, and every other reader of the file would not; the row is named."""
    column = pa.array([b"ok"] * 900 + [b"\xff"] + [b"ok"] * 50, pa.binary()).view(pa.string())
    nested = pa.ListArray.from_arrays(pa.array(np.arange(952, dtype=np.int32)), column)
    for values in (column, nested):
        rows = pa.RecordBatch.from_arrays([pa.array(range(951)), values], names=["n", "t"])
        target = target_of(tmp_path / "out", "parquet", schema=rows.schema)
        with pytest.raises(NotUtf8, match="at byte 900: `t` is no UTF-8"):
            write_all(target, row_windows_of(rows, [7, 500], keys=range(951)))
    assert os.listdir(tmp_path) == []


def test_a_value_that_parquet_has_no_form_for_is_an_error_in_words(tmp_path):
    """Seconds become milliseconds there."""
    rows = pa.record_batch([pa.array([2**62]).view(pa.timestamp("s"))], names=["at"])
    with pytest.raises(RowUnfit, match="Parquet cannot hold a row"):
        write_all(target_of(tmp_path / "out", "parquet", schema=rows.schema), row_windows_of(rows))
    assert os.listdir(tmp_path) == []
