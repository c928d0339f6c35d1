"""Arrow IPC: the columns as they are, the same file whatever the windows or the memory."""

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sink_windows import borders, row_windows_of, target_of, windows_of, write_all
from typed_rows import SCHEMA, batches, many_rows, with_other_bytes_below_nulls

from dbshuf.errors import NotUtf8
from dbshuf.sink.formats import arrow

few_files = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
    derandomize=True,
    max_examples=25,
)


def read(path: Path) -> pa.Table:
    with pa.ipc.open_file(path) as file:
        table = file.read_all()
    table.validate(full=True)
    return table


def test_lines_are_one_column_and_the_file_says_its_seed(tmp_path):
    """As in Parquet, for readers that map the file into memory."""
    path = tmp_path / "out.arrow"
    texts = [f"é {i}" for i in range(300_000)]
    lines = [text.encode() + b"\n" for text in texts]
    write_all(target_of(path, "arrow", seed="née 7"), windows_of(lines, [5, 70_000]))
    table = read(path)
    assert table.schema == pa.schema([("line", pa.string())])
    assert table.schema.metadata == {
        b"dbshuf.seed": "née 7".encode(),
        b"dbshuf.order_version": b"1",
    }
    assert table["line"].to_pylist() == texts
    assert pl.read_ipc(path)["line"].to_list() == texts
    assert [len(chunk) for chunk in table["line"].chunks] == [131_072, 131_072, 37_856]


def test_lines_that_are_no_utf8_need_a_binary_column(tmp_path):
    """Arrow itself would take them as text, without a word."""
    path = tmp_path / "out.arrow"
    with pytest.raises(NotUtf8):
        write_all(target_of(path, "arrow"), windows_of([b"\xff\n"]))
    write_all(target_of(path, "arrow", binary=True), windows_of([b"\xff\n"]))
    assert read(path)["line"].to_pylist() == [b"\xff"]


@pytest.mark.parametrize("compression", [None, "none", "lz4", "zstd", "zstd:9"])
def test_buffers_are_compressed_as_asked(compression, tmp_path):
    """lz4 and zstd are what the format has; without a word it is neither."""
    path = tmp_path / "out.arrow"
    rows = many_rows(20_000)
    target = target_of(path, "arrow", schema=rows.schema, compression=compression)
    write_all(target, row_windows_of(rows, [1000]))
    assert read(path).equals(pa.Table.from_batches([rows]))
    is_small = path.stat().st_size < 0.8 * rows.nbytes
    assert is_small == (compression not in (None, "none"))
    assert pl.read_ipc(path).equals(pl.from_arrow(rows))


@few_files
@given(rows=batches(SCHEMA), cuts=borders, most_rows=st.integers(1, 7))
def test_typed_rows_come_back_and_windows_leave_no_trace(tmp_path, *, rows, cuts, most_rows):
    """All types, nested ones and nulls too."""
    paths = [tmp_path / name for name in "ab"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrow, "BATCH_ROWS", most_rows)
        write_all(target_of(paths[0], "arrow", schema=SCHEMA), row_windows_of(rows))
        write_all(target_of(paths[1], "arrow", schema=SCHEMA), row_windows_of(rows, cuts))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    table = read(paths[0])
    assert table.schema.equals(SCHEMA)
    assert table.to_pylist() == rows.to_pylist()
    sizes = [len(chunk) for chunk in table["int"].chunks]
    assert all(size == most_rows for size in sizes[:-1])


def nulls_with(garbage: int) -> pa.RecordBatch:
    """Equal rows for any `garbage`: numbers, also in lists and structs, below nulls."""
    mask = np.array([True, False, True, False, False, True])
    numbers = pa.array(np.arange(6), mask=mask)
    numbers = with_other_bytes_below_nulls(numbers, garbage)
    moments = with_other_bytes_below_nulls(
        pa.array(np.arange(6).astype("M8[us]"), mask=mask), garbage
    )
    struct = pa.StructArray.from_arrays([numbers, moments], ["n", "m"], mask=pa.array(mask[::-1]))
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 1, 4, 5, 5, 6], pa.int32()), struct)
    spread = np.array([0, 1, 2 + garbage % 2, 3 + garbage % 2], np.int32)
    texts = pa.Array.from_buffers(  # a null text of one byte or of two
        pa.string(),
        3,
        [
            pa.py_buffer(b"\5"),
            pa.py_buffer(spread),
            pa.py_buffer(b"axxb" if garbage % 2 else b"axb"),
        ],
    )
    lists_of_text = pa.FixedSizeListArray.from_arrays(pa.concat_arrays([texts] * 4), 2)
    pairs = pa.MapArray.from_arrays(
        pa.array([0, 1, 2, 3, 4, 5, 6]), pa.array(list("abcdef")), struct
    )
    columns = [numbers, struct, lists, lists_of_text, pairs]
    return pa.record_batch(columns, names=list("abcde"))


@pytest.mark.parametrize("compression", ["none", "lz4"])
def test_what_lies_below_nulls_leaves_no_trace(compression, tmp_path):
    """It depends on where a row has been, and a file is a function of its rows."""
    paths = [tmp_path / str(garbage) for garbage in (0, 1, 254, 255)]
    first = nulls_with(0)
    for path, garbage in zip(paths, (0, 1, 254, 255), strict=True):
        rows = nulls_with(garbage)
        assert rows.equals(first)
        target = target_of(path, "arrow", schema=rows.schema, compression=compression)
        write_all(target, row_windows_of(rows))
        assert read(path).to_pylist() == first.to_pylist()
    assert len({path.read_bytes() for path in paths}) == 1


def test_no_rows_make_a_file_with_the_schema(tmp_path):
    """A shard without rows can be opened too."""
    write_all(target_of(tmp_path / "out", "arrow", schema=SCHEMA), [])
    assert read(tmp_path / "out").schema.equals(SCHEMA)
