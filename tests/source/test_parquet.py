"""Parquet: the rows of any files, in any number of row groups, by any number of threads."""

import datetime
import itertools
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typed_sources import expected, measured_read, read, read_rows, sizes_of

from dbshuf.base.thrift import Reader, value_bytes
from dbshuf.errors import InputBroken, InputUnreadable, NotUtf8
from dbshuf.source.inputs import resolve_inputs
from dbshuf.source.tables.interface import BatchSize, read_error
from dbshuf.source.tables.reader import open_tables

DECIMALS = st.decimals(-(10**8), 10**8, places=2)
MOMENTS = st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2100, 1, 1))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
COLUMNS = [  # types and their values
    (pa.int8(), st.integers(-128, 127)),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.float64(), st.floats(allow_nan=False)),
    (pa.bool_(), st.booleans()),
    (pa.string(), TEXT),
    (pa.large_string(), TEXT),
    (pa.string_view(), TEXT),
    (pa.binary(), st.binary(max_size=9)),
    (pa.binary(3), st.binary(min_size=3, max_size=3)),
    (pa.dictionary(pa.int32(), pa.string()), st.sampled_from(["a", "bb", ""])),
    (pa.timestamp("us"), MOMENTS),
    (
        pa.timestamp("ms", "UTC"),
        MOMENTS.map(lambda m: m.replace(microsecond=0, tzinfo=datetime.UTC)),
    ),
    (pa.date32(), st.dates()),
    (pa.decimal128(12, 2), DECIMALS),
    (pa.list_(pa.int32()), st.lists(st.one_of(st.none(), st.integers(0, 9)), max_size=3)),
    (pa.large_list(pa.large_string()), st.lists(TEXT, max_size=3)),
    (pa.list_(pa.int16(), 2), st.lists(st.integers(0, 9), min_size=2, max_size=2)),
    (
        pa.struct([("x", pa.int64()), ("y", pa.list_(pa.string()))]),
        st.fixed_dictionaries({"x": st.integers(0, 9), "y": st.lists(TEXT, max_size=2)}),
    ),
    (pa.map_(pa.string(), pa.int32()), st.lists(st.tuples(TEXT, st.integers(0, 9)), max_size=2)),
    (pa.null(), st.none()),
]


@st.composite
def tables(draw):
    """A table of up to 40 rows and 5 columns of any types, nulls among the values."""
    kinds = draw(st.lists(st.sampled_from(COLUMNS), min_size=1, max_size=5))
    rows = draw(st.integers(0, 40))
    arrays = []
    for kind, values in kinds:
        is_fixed = pa.types.is_fixed_size_list(kind)  # pyarrow 26 writes no null among them
        cell = values if is_fixed else st.one_of(values, st.none())
        column = draw(st.lists(cell, min_size=rows, max_size=rows))
        arrays.append(pa.array(column, kind))
    return pa.table(arrays, names=[f"c{i}" for i in range(len(kinds))])


@given(tables(), st.data())
@settings(derandomize=True, deadline=None, max_examples=60)
def test_all_rows_come_with_their_ids(tmp_path_factory, table, data):
    """Whatever the types, row groups, files, threads and batch sizes."""
    folder = tmp_path_factory.mktemp("t")
    cuts = data.draw(st.lists(st.integers(0, 40), max_size=2))
    group_rows, workers = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 4))
    size = data.draw(st.sampled_from([1, 100, 1 << 20]))
    ends = sorted({0, *(min(cut, len(table)) for cut in cuts), len(table)})
    ends = ends if len(ends) > 1 else [0, 0]
    parts = [table.slice(a, b - a) for a, b in itertools.pairwise(ends)]
    paths = [folder / f"{i}.parquet" for i in range(len(parts))]
    for path, part in zip(paths, parts, strict=True):
        pq.write_table(part, path, row_group_size=group_rows)
    found = read(paths, "parquet", workers=workers, batch_bytes=size)
    assert found == expected([part.to_pylist() for part in parts])


def test_batches_hold_what_fits_and_one_row_at_least(tmp_path):
    """Rows from 1 byte to 5,000, in batches of at most 2,000 bytes."""
    rows = [{"s": "x" * n} for n in [*range(1, 300), 5000, 1, 4000, *([10] * 5000)]]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    inputs = resolve_inputs([str(tmp_path / "a.parquet")])
    sizes = sizes_of(open_tables(inputs, "parquet", batch_bytes=2000))
    assert sum(rows for rows, _ in sizes) == len(rows)
    assert all(size <= 2000 or rows == 1 for rows, size in sizes)
    assert len(sizes) < 100  # most of them full


def test_empty_files_and_files_without_row_groups_have_no_rows(tmp_path):
    """They take part with their schema."""
    table = pa.table({"a": pa.array([1, 2])})
    pq.write_table(table.slice(0, 0), tmp_path / "0.parquet")
    with pq.ParquetWriter(tmp_path / "1.parquet", table.schema) as writer:
        writer.write_table(table.slice(0, 0))
    pq.ParquetWriter(tmp_path / "2.parquet", table.schema).close()
    pq.write_table(table, tmp_path / "3.parquet")
    paths = [tmp_path / f"{i}.parquet" for i in range(4)]
    assert pq.read_metadata(paths[2]).num_row_groups == 0
    assert read(paths, "parquet") == {(3 << 44): {"a": 1}, (3 << 44) + 1: {"a": 2}}
    assert read(paths[:3], "parquet") == {}


def test_a_group_of_nothing_is_null_as_pyarrow_reads_it(tmp_path):
    """Other writers make them; pyarrow only reads them, so the footer is written over."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": [1, 2]}), path, store_schema=False)
    data = path.read_bytes()
    size = int.from_bytes(data[-8:-4], "little")
    footer = Reader(data[-8 - size : -8]).struct()
    integer, binary, struct = 5, 8, 12
    elements = footer[2][1][1]
    elements[0][5] = (integer, 2)
    elements.append({3: (integer, 1), 4: (binary, b"nested"), 5: (integer, 0)})
    made = value_bytes(struct, footer)
    path.write_bytes(data[: -8 - size] + made + len(made).to_bytes(4, "little") + b"PAR1")
    assert pq.read_table(path).to_pylist() == [{"id": n, "nested": None} for n in (1, 2)]
    assert read_rows([path], "parquet") == [{"id": n, "nested": None} for n in (1, 2)]


def test_only_the_named_columns_are_read(tmp_path):
    """Also beside nested ones, and with dots in names; one column at least, for its rows."""
    table = pa.table(
        {
            "s": [{"x": 1, "y": {"z": [1]}}, None],
            "s.x": ["dot", "ted"],
            "m": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int8())),
            "t": ["u", "v"],
        }
    )
    path = tmp_path / "a.parquet"
    pq.write_table(table, path)
    for names in (["s.x"], ["t", "s"], ["m"], ["t", "nowhere"]):
        wanted = [name for name in table.column_names if name in names]
        found = read_rows([path], "parquet", columns=frozenset(names))
        assert found == table.select(wanted).to_pylist()
    assert [list(row) for row in read_rows([path], "parquet", columns=frozenset())] == [["s.x"]] * 2
    # What is not asked for is not touched: damage to it goes unnoticed.
    start = pq.read_metadata(path).row_group(0).column(5).data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + 20] = b"\xff" * 20
    path.write_bytes(data)
    assert read_rows([path], "parquet", columns=frozenset(["s.x"])) == [
        {"s.x": "dot"},
        {"s.x": "ted"},
    ]
    with pytest.raises(InputBroken):
        read_rows([path], "parquet")


@pytest.mark.parametrize("keep", [0, 3, 100, -1, -9])
def test_a_file_that_is_cut_short_is_named(tmp_path, keep):
    """Anywhere."""
    path = tmp_path / "cut.parquet"
    pq.write_table(pa.table({"a": list(range(1000))}), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputBroken, match=r"cut\.parquet") as caught:
        read([path], "parquet")
    assert caught.value.hint
    assert "\n" not in caught.value.message


def test_damaged_pages_are_an_error_and_never_a_crash(tmp_path):
    """Checksums tell; the error names the file."""
    path = tmp_path / "bad.parquet"
    table = pa.table({"a": [f"value {i}" for i in range(500)], "b": list(range(500))})
    pq.write_table(table, path, write_page_checksum=True, use_dictionary=False)
    data = path.read_bytes()
    refused = 0
    for at in range(40, 4000, 97):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
        try:
            assert read_rows([path], "parquet") == table.to_pylist()
        except InputBroken:
            refused += 1
    assert refused > 30


def test_what_the_library_cannot_read_is_not_called_damaged(tmp_path):
    """Polars writes integers of 128 bits, and nobody should fetch such a file again."""
    path = tmp_path / "i128.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    (source,) = resolve_inputs([str(path)])
    words = "Integers with more than 64 bits not implemented"
    error = read_error(source, pa.ArrowNotImplementedError(words), "Parquet file")
    assert isinstance(error, InputUnreadable)
    assert error.message == f"`{path}` holds what pyarrow does not read: {words}"


MOMENT = datetime.datetime(1960, 2, 3, 4, 5, 6, 7)
TOO_LATE = datetime.datetime(9999, 12, 31)
WIDE = {  # a column with a moment in it
    "plain": (pa.timestamp("us"), lambda moment: moment),
    "list": (pa.list_(pa.timestamp("us")), lambda moment: [None, moment]),
    "map": (pa.map_(pa.string(), pa.timestamp("us")), lambda moment: [("a", moment)]),
    "struct": (
        pa.struct([("s", pa.string()), ("t", pa.timestamp("us"))]),
        lambda moment: {"s": "x", "t": moment},
    ),
}


@pytest.mark.parametrize("shape", WIDE)
def test_a_moment_of_96_bits_beyond_nanoseconds_is_refused(shape, tmp_path):
    """Spark writes 9999-12-31 so, and pyarrow would make 1754-08-30 of it."""
    kind, value = WIDE[shape]
    rows = [value(MOMENT), None] * 2000
    table = pa.table({"n": range(4000), "t": pa.array(rows, kind)})
    pq.write_table(table, tmp_path / "a", use_deprecated_int96_timestamps=True, row_group_size=1500)
    assert [row["t"] for row in read_rows([tmp_path / "a"], "parquet")] == table["t"].to_pylist()
    rows[3001] = value(TOO_LATE)
    table = table.set_column(1, "t", pa.array(rows, kind))
    pq.write_table(table, tmp_path / "b", use_deprecated_int96_timestamps=True, row_group_size=1500)
    where = "at row 3001" if shape == "plain" else r"near row \d+"
    with pytest.raises(InputUnreadable, match=where + ": column `t` has a moment before 1677"):
        read_rows([tmp_path / "b"], "parquet")
    assert len(read([tmp_path / "b"], "parquet", columns=frozenset("n"))) == 4000


def test_text_that_is_no_utf8_is_refused_with_its_row(tmp_path):
    """SQL would cut its values short without a word; binary columns may hold anything."""
    path = tmp_path / "a.parquet"
    values = [b"ok"] * 700 + [b"caf\xe9"] + [b"ok"] * 20
    column = pa.array(values)
    as_text = pa.Array.from_buffers(pa.string(), len(column), column.buffers())
    for array in (as_text, as_text.dictionary_encode()):
        pq.write_table(pa.table({"n": range(721), "t": array}), path, row_group_size=300)
        with pytest.raises(NotUtf8, match=r"a\.parquet` at row 700: column `t`"):
            read([path], "parquet", workers=2)
        os.utime(path, ns=(1, len(path.read_bytes())))
    pq.write_table(pa.table({"t": column}), path)
    assert read_rows([path], "parquet")[700] == {"t": b"caf\xe9"}


def test_a_path_of_any_bytes_is_read_and_one_that_is_gone_is_named(tmp_path):
    """Names on disk need not be UTF-8."""
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    os.rename(tmp_path / "a.parquet", path)
    inputs = resolve_inputs([path])
    assert read_rows(inputs, "parquet") == [{"a": 1}]
    os.remove(path)
    with pytest.raises(InputUnreadable):
        read_rows(inputs, "parquet")


@pytest.mark.parametrize("shape", ["plain", "dictionary"])
def test_a_row_group_far_larger_than_a_batch_takes_the_memory_of_a_few_batches(shape, tmp_path):
    """150 MB of text in one row group, in batches of 4 MiB; measured in a child."""
    path = tmp_path / "a.parquet"
    if shape == "plain":
        values = pa.array([f"{i:07}" * 43 for i in range(100_000)])
        column = pa.chunked_array([values] * 5)
    else:
        column = pa.array([str(i) * 3000 for i in range(10)] * 5000).dictionary_encode()
    table = pa.table({"a": column})
    pq.write_table(table, path, row_group_size=len(table), compression="none")
    pq.write_table(table.slice(0, 9), tmp_path / "small")
    del table, column
    seen_bytes, peak_bytes = measured_read(tmp_path / "small", path, "parquet", 4 << 20)
    assert seen_bytes >= 150_000_000
    assert peak_bytes < 85_000_000


def test_rows_are_read_at_a_pace_that_follows_their_size():
    """Slowly faster, at once slower, and never so fast that sudden long rows are too many."""
    batch_size = BatchSize(1 << 20)
    first = batch_size.rows
    batch_size.saw(first, first * 10)
    assert first < batch_size.rows <= 8 * first
    for _ in range(9):
        batch_size.saw(batch_size.rows, batch_size.rows * 10)
    assert batch_size.rows == 2048
    batch_size.saw(2048, 2048 << 20)
    assert batch_size.rows == 1
    batch_size.saw(1, 1 << 19)
    assert batch_size.rows == 2
    batch_size.saw(0, 0)
    assert batch_size.rows == 2


def test_rows_that_will_be_long_are_read_few_at_a_time():
    """Of a row group sorted by length: what is left of it says so before they come."""
    batch_size = BatchSize(1 << 20)
    batch_size.expect(100_000, 90_000 * 100 + 10_000 * 20_000)
    for _ in range(40):
        rows = min(batch_size.rows, 1000)
        batch_size.saw(rows, rows * 100)
    assert batch_size.rows < 600
    batch_size = BatchSize(1 << 20)
    batch_size.expect(10, 10 << 20)
    assert batch_size.rows == 1
