"""Parquet: one column that every reader opens, the same file whatever the windows."""

import os
import sys
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sink_windows import (
    any_lines,
    borders,
    lines_of_any_bytes,
    same_file,
    small_groups,
    target_of,
    windows_of,
    write_all,
)

from dbshuf.errors import LineTooLong, NotUtf8
from dbshuf.sink.formats import record_batches as column
from dbshuf.sink.formats.record_batches import LineColumn

TEXTS = [
    "",
    "\r",
    "\0",
    "\ufeffbom",
    "été 雪 🎲",
    *(f"line {i} " + "x" * (i % 90) for i in range(20_000)),
]
LINES = [text.encode() + b"\n" for text in TEXTS]


def groups_of(path: Path) -> list[pa.Table]:
    file = pq.ParquetFile(path)
    return [file.read_row_group(i) for i in range(file.num_row_groups)]


@pytest.mark.parametrize("terminator", [b"\n", b"\0"])
def test_arrow_duckdb_and_polars_read_the_lines_in_order(terminator, tmp_path):
    """Without terminators; an empty line is an empty string, not NULL."""
    path = tmp_path / "out.parquet"
    texts = [text for text in TEXTS if terminator.decode() not in text]
    lines = [text.encode() + terminator for text in texts]
    target = target_of(path, "parquet", terminator=terminator)
    sink = write_all(target, windows_of(lines, range(0, 20_000, 999)))
    assert (sink.rows, sink.text_bytes) == (len(lines), sum(map(len, lines)))
    table = pq.read_table(path)
    assert table.schema.remove_metadata() == pa.schema([("line", pa.string())])
    assert table["line"].to_pylist() == texts
    frame = pl.read_parquet(path)
    assert (frame.schema, frame["line"].to_list()) == ({"line": pl.String}, texts)
    with duckdb.connect() as con:
        rows = con.sql(f"SELECT line, typeof(line) FROM read_parquet('{path}')").fetchall()
    assert rows == [(text, "VARCHAR") for text in texts]


def test_a_binary_column_takes_any_bytes(tmp_path):
    """--binary is the way out for a corpus that is no UTF-8."""
    path = tmp_path / "out.parquet"
    values = [bytes([i, 255 - i]).replace(b"\n", b"") for i in range(256)]
    write_all(
        target_of(path, "parquet", binary=True), windows_of([value + b"\n" for value in values])
    )
    assert pq.read_table(path)["line"].to_pylist() == values
    assert pl.read_parquet(path).schema == {"line": pl.Binary}
    with duckdb.connect() as con:
        rows = con.sql(f"SELECT line, typeof(line) FROM read_parquet('{path}')").fetchall()
    assert rows == [(value, "BLOB") for value in values]


@pytest.mark.parametrize("binary", [False, True])
def test_no_rows_make_a_file_with_the_schema(binary, tmp_path):
    """A loader must find the column in a shard without rows too."""
    path = tmp_path / "out.parquet"
    write_all(target_of(path, "parquet", binary=binary), [])
    table = pq.read_table(path)
    assert (table.num_rows, table.schema.names) == (0, ["line"])
    assert table.schema.field("line").type == (pa.binary() if binary else pa.string())
    assert pl.read_parquet(path).height == 0


def test_the_file_says_its_seed_and_order(tmp_path):
    """Whoever finds the file later can make it again."""
    path = tmp_path / "out.parquet"
    write_all(target_of(path, "parquet", seed="née 7"), windows_of(LINES))
    metadata = pq.read_metadata(path).metadata
    metadata.pop(b"ARROW:schema")
    assert metadata == {b"dbshuf.seed": "née 7".encode(), b"dbshuf.order_version": b"1"}


@same_file
@given(lines=any_lines, cuts=borders, wide=st.booleans(), binary=st.booleans())
def test_the_bytes_of_a_file_do_not_depend_on_windows(tmp_path, *, lines, cuts, wide, binary):
    """Row groups and pages are cut by rows alone."""
    paths = [tmp_path / name for name in "ab"]
    with pytest.MonkeyPatch.context() as patch:
        small_groups(patch)
        write_all(target_of(paths[0], "parquet", binary=binary), windows_of(lines))
        target = target_of(paths[1], "parquet", binary=binary)
        write_all(target, windows_of(lines, cuts, wide=wide))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    values = b"".join(
        value.as_py() + b"\n" for value in pq.read_table(paths[0])["line"].cast("binary")
    )
    assert values == b"".join(lines)


def test_pages_do_not_depend_on_windows_at_full_size(tmp_path):
    """Several row groups of many pages, windows that end anywhere."""
    rng = np.random.default_rng(7)
    lines = [
        b"%d " % i + b"y" * int(n) + b"\n" for i, n in enumerate(rng.integers(0, 600, 130_000))
    ]
    paths = [tmp_path / name for name in "ab"]
    write_all(target_of(paths[0], "parquet"), windows_of(lines))
    write_all(target_of(paths[1], "parquet"), windows_of(lines, rng.integers(0, 130_000, 50)))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert len(groups_of(paths[0])) == 3


def test_row_groups_are_bounded_by_bytes_and_by_rows(tmp_path, monkeypatch):
    """Wide lines in groups of a fixed row count make groups nobody can read in memory."""
    small_groups(monkeypatch, most_bytes=100, most_rows=7)
    lines = (
        [b"%03d\n" % i for i in range(20)] + [b"z" * 49 + b"\n"] * 5 + [b"w" * 300 + b"\n", b"\n"]
    )
    path = tmp_path / "out.parquet"
    write_all(target_of(path, "parquet"), windows_of(lines, [3, 21]))
    assert [group.num_rows for group in groups_of(path)] == [7, 7, 7, 2, 2, 1, 1]
    assert b"\n".join(
        v.encode() for v in pq.read_table(path)["line"].to_pylist()
    ) + b"\n" == b"".join(lines)


def test_a_line_longer_than_a_row_group_is_a_group_of_its_own(tmp_path):
    """One huge line must not make its neighbours' group huge."""
    path = tmp_path / "out.parquet"
    lines = [b"a\n", b"b" * 40_000_000 + b"\n", b"c\n", b"d" * 17_000_000 + b"\n"]
    write_all(target_of(path, "parquet"), windows_of(lines, [2]))
    assert [group.num_rows for group in groups_of(path)] == [1, 1, 1, 1]
    values = pq.read_table(path)["line"].cast(pa.binary()).to_pylist()
    assert [value + b"\n" for value in values] == lines


def test_statistics_of_long_lines_do_not_bloat_the_footer(tmp_path, monkeypatch):
    """Minimum and maximum are kept up to 4 kB each; longer ones are left out."""
    path = tmp_path / "out.parquet"
    small_groups(monkeypatch, most_bytes=200_000, most_rows=100)
    lines = [b"%04d" % i * 2000 + b"\n" for i in range(300)]
    write_all(target_of(path, "parquet"), windows_of(lines))
    metadata = pq.read_metadata(path)
    assert metadata.num_row_groups > 10
    assert metadata.serialized_size < 2000 + 200 * metadata.num_row_groups
    small_groups(monkeypatch, most_bytes=100, most_rows=7)
    write_all(target_of(path, "parquet"), windows_of([b"b\n", b"a\n", b"c\n"]))
    column = pq.read_metadata(path).row_group(0).column(0)
    assert (column.statistics.min, column.statistics.max) == ("a", "c")
    assert "RLE_DICTIONARY" in column.encodings


@pytest.mark.parametrize(
    ("compression", "want"),
    [
        (None, "ZSTD"),
        ("zstd:9", "ZSTD"),
        ("snappy", "SNAPPY"),
        ("gzip", "GZIP"),
        ("gzip:9", "GZIP"),
        ("lz4", "LZ4"),
        ("brotli:5", "BROTLI"),
        ("none", "UNCOMPRESSED"),
    ],
)
def test_pages_are_compressed_as_asked(compression, want, tmp_path):
    """Every codec that --compression knows, read by readers of their own."""
    path = tmp_path / "out.parquet"
    lines = LINES[:5000]
    write_all(target_of(path, "parquet", compression=compression), windows_of(lines))
    assert pq.read_metadata(path).row_group(0).column(0).compression == want
    assert pq.read_table(path)["line"].to_pylist() == TEXTS[:5000]
    assert pl.read_parquet(path)["line"].to_list() == TEXTS[:5000]
    with duckdb.connect() as con:
        assert con.sql(f"FROM read_parquet('{path}')").fetchall() == [(t,) for t in TEXTS[:5000]]


def test_levels_are_levels(tmp_path):
    """zstd:15 packs better than zstd at level 1."""
    sizes = []
    for compression in ("zstd", "zstd:1", "zstd:15"):
        target = target_of(tmp_path / "out", "parquet", compression=compression)
        write_all(target, windows_of(LINES))
        sizes.append((tmp_path / "out").stat().st_size)
    assert sizes[2] < sizes[1] == sizes[0]


def decodes(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


@same_file
@given(lines=lines_of_any_bytes, cuts=borders)
def test_exactly_the_lines_that_python_decodes_are_text(tmp_path, *, lines, cuts):
    """The error names the first bad line by its key, and the bad byte within it."""
    bad = [i for i, line in enumerate(lines) if not decodes(line)]
    target = target_of(tmp_path / "out", "parquet")
    windows = list(windows_of(lines, cuts, keys=range(len(lines))))
    if not bad:
        write_all(target, windows)
        return
    with pytest.raises(NotUtf8) as caught:
        write_all(target, windows)
    with pytest.raises(UnicodeDecodeError) as decoding:
        lines[bad[0]].decode()
    at = decoding.value.start
    assert caught.value.message == f"`in.txt` at byte {bad[0]}: byte {at} of the line is no UTF-8"
    assert "--binary" in caught.value.hint


@pytest.mark.parametrize(
    "bad", [b"\xff", b"\xc3(", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xe9\x9b"]
)
def test_a_bad_byte_is_found_anywhere_and_nothing_is_published(bad, tmp_path):
    """Behind megabytes of good text, within a long line, across the steps of the search."""
    path = tmp_path / "out.parquet"
    path.write_bytes(b"old")
    for before in (0, column._DECODE_BYTES - 1, 3 * column._DECODE_BYTES + 2):
        lines = [*LINES, "é".encode() * (before // 2) + b"a" * (before % 2) + bad + b"\n", b"ok\n"]
        with pytest.raises(NotUtf8, match=f"byte {before} of the line"):
            write_all(target_of(path, "parquet"), windows_of(lines))
        assert (path.read_bytes(), os.listdir(tmp_path)) == (b"old", ["out.parquet"])


def test_halves_of_a_character_in_two_lines_do_not_heal_each_other(tmp_path):
    """The text is checked as a whole, so the terminators must keep lines apart."""
    with pytest.raises(NotUtf8):
        write_all(target_of(tmp_path / "out", "parquet"), windows_of([b"\xc3\n", b"\xa9\n"]))


def test_a_line_beyond_what_a_value_holds_is_refused(tmp_path, monkeypatch):
    """2 GiB is where the offsets of most readers end."""
    monkeypatch.setattr(column, "_LONGEST_VALUE_BYTES", 1000)
    lines = [b"a\n", b"b" * 1000 + b"\n", b"c\n"]
    with pytest.raises(LineTooLong, match=r"`in.txt` at byte 1: a line of 1 kB"):
        write_all(target_of(tmp_path / "out", "parquet"), windows_of(lines, keys=[0, 1, 2]))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("wide", [False, True])
def test_batches_have_the_column_of_the_file_and_own_their_memory(binary, wide):
    """A training loop keeps a batch while the next window is gathered."""
    lines = LineColumn(target_of(None, "parquet", binary=binary))
    for window in windows_of(LINES, [4000], wide=wide):
        batch = lines.batch(window)
        batch.validate(full=True)
        assert batch.schema == pa.schema([("line", pa.binary() if binary else pa.string())])
        assert batch["line"].cast(pa.binary()).to_pylist() == [
            value[:-1] for value in window.lines.to_pylist()
        ]
        assert batch["line"].buffers()[2].address != window.lines.buffers()[2].address
    with pytest.raises(NotUtf8):
        LineColumn(target_of(None, "parquet")).batch(next(windows_of([b"\xff\n"])))


def test_only_parquet_output_loads_the_parquet_library():
    """A text shuffle has no use for its memory and its start-up time."""
    code = (
        "import sys, dbshuf.sink.formats.row_text, dbshuf.sink.shards\n"
        "import dbshuf.sink.formats.record_batches\n"
        "import dbshuf.sink.formats.jsonl, dbshuf.sink.formats.csv, dbshuf.sink.formats.arrow\n"
        "sys.exit('pyarrow.parquet' in sys.modules)"
    )
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 0
    code = "import sys, dbshuf.sink; sys.exit('pyarrow' in sys.modules)"
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 0
