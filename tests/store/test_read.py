"""A store read back: every row once, as it went in, whatever the buffers and the workers."""

import contextlib
import tempfile
from pathlib import Path
from types import SimpleNamespace

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import reference
import typed_rows
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from in_threads import in_threads
from line_sources import expected
from store_tools import open_lines, read_lines, read_rows, written

from dbshuf.api import ingest
from dbshuf.base.key import POSITION_BITS
from dbshuf.base.workers import Stopped
from dbshuf.errors import LineTooLong, MemoryTooSmall, StoreInvalid
from dbshuf.source.inputs import resolve_inputs
from dbshuf.source.tables.reader import open_tables
from dbshuf.store import read as stored
from dbshuf.store.opening import open_store
from dbshuf.store.read import StoreRows, stretches

QUICK = settings(max_examples=12, deadline=None, derandomize=True, database=None)
WORDS = b"".join(b"%d %s\n" % (n, b"word " * (n % 40)) for n in range(6000))


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """A store of three inputs, 1.3 MB of lines of 2 to 205 bytes."""
    folder = tmp_path_factory.mktemp("words")
    texts = {"a": WORDS, "b": b"", "c": WORDS[:99_999]}
    ingest(folder / "s.duckdb", written(folder, **texts))
    return folder / "s.duckdb", expected(list(texts.values()))


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(("buffer_bytes", "rows"), [(1 << 20, 1 << 20), (4096, 1000), (1 << 16, 7)])
def test_lines_come_back_as_text_with_their_ids(workers, buffer_bytes, rows, *, words, monkeypatch):
    """Buffers that are full of bytes or of rows; stretches much smaller than an input."""
    monkeypatch.setattr(stored, "_STRETCH_BYTES", 50_000)
    monkeypatch.setattr(stored, "_STRETCH_VECTORS", 0)
    store, lines = words
    found = read_lines(store, workers, buffer_bytes=buffer_bytes, rows=rows)
    assert found == lines


@settings(QUICK, max_examples=4)
@given(texts=st.lists(st.lists(st.binary(max_size=9)).map(b"\n".join), max_size=20))
def test_any_bytes_come_back(texts):
    """Empty lines, NUL, CR, no UTF-8, no terminator at the end."""
    texts = [b"text" + text for text in [b"", *texts]]  # no beginning that a codec has
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = written(folder, **{f"f{n}": text for n, text in enumerate(texts)})
        ingest(folder / "s.duckdb", paths, binary=True)
        assert read_lines(folder / "s.duckdb", buffer_bytes=64, rows=5) == expected(texts)


def test_a_batch_is_one_stretch_of_text_where_lines_follow_each_other(words):
    """Its ids then cost nothing: a place in the text, one for each input."""
    source = open_lines(words[0], buffer_bytes=1 << 21, rows=1 << 20)
    (batch,) = source.batches(source.new_arena())
    ordinals = [origin >> POSITION_BITS for _, origin in batch.origins]
    source.close()
    assert ordinals in ([0, 2], [0, 1])  # an origin may lie before the first byte of its input
    assert len(batch.origins) == 2


def test_a_line_longer_than_a_buffer_comes_alone(tmp_path):
    """Up to what fits in --memory; then the error names the line and a cap."""
    text = b"short\n" * 50 + b"x" * 30_000 + b"\nshort\n"
    ingest(tmp_path / "s.duckdb", written(tmp_path, a=text))
    for workers in (1, 3):
        assert read_lines(tmp_path / "s.duckdb", workers, buffer_bytes=4096) == expected([text])
    with pytest.raises(LineTooLong, match=r"a` at byte 300: a line of 30 kB \(30001"):
        read_lines(tmp_path / "s.duckdb", buffer_bytes=4096, longest_bytes=30_000)


def test_a_store_that_was_edited_is_noticed(tmp_path):
    """A row less than `sources` says, or a text that is another."""
    for sql in ("delete from lines where line = 'two'", "update lines set line = 'x'"):
        store = tmp_path / "s.duckdb"
        ingest(store, written(tmp_path, a=b"one\ntwo\nthree\n"))
        with duckdb.connect(str(store)) as connection:
            connection.execute(sql)
        with pytest.raises(StoreInvalid, match="`sources` says 3"):
            read_lines(store)
        with pytest.raises(StoreInvalid, match="`sources` says 3"):
            read_rows(store)
        store.unlink()


def test_stop_turns_workers_away(words):
    """Also one that has begun."""
    source = open_lines(words[0], buffer_bytes=4096)
    batches = source.batches(source.new_arena())
    next(batches)
    source.stop()
    with pytest.raises(Stopped):
        list(batches)
    with pytest.raises(Stopped):
        next(source.batches(source.new_arena()))
    source.close()


@settings(QUICK, phases=[Phase.generate])
@given(batch=typed_rows.batches(typed_rows.SCHEMA), size=st.sampled_from([1, 200, 1 << 20]))
def test_typed_rows_come_back_with_their_types(batch, size):
    """Nested, null, narrow: the columns that `shuffle` reads, in batches of any size."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pq.write_table(pa.Table.from_batches([batch]), folder / "a.parquet")
        ingest(folder / "s.duckdb", folder / "a.parquet")
        inputs = resolve_inputs([str(folder / "a.parquet")])
        tables = open_tables(inputs, "parquet", batch_bytes=1 << 20)
        with contextlib.closing(tables):
            wanted = [row for rows in tables.batches() for row in rows.batch.to_pylist()]
            plain = tables.schema
        found, schema = read_rows(folder / "s.duckdb", batch_bytes=size)
    assert schema == plain
    assert found == dict(enumerate(wanted))


def test_workers_share_typed_rows(tmp_path, monkeypatch):
    """Each row once, in batches that respect their size."""
    monkeypatch.setattr(stored, "_STRETCH_BYTES", 50_000)
    monkeypatch.setattr(stored, "_STRETCH_VECTORS", 0)
    rows = typed_rows.many_rows(5000)
    pq.write_table(pa.Table.from_batches([rows]), tmp_path / "a.parquet")
    ingest(tmp_path / "s.duckdb", tmp_path / "a.parquet")
    found, _ = read_rows(tmp_path / "s.duckdb", workers=3, batch_bytes=10_000)
    assert found == dict(enumerate(rows.to_pylist()))


def test_lines_can_be_had_as_rows(words):
    """Without terminators, a column `line`."""
    store, lines = words
    found, schema = read_rows(store)
    assert schema == pa.schema([("line", pa.string())])
    assert sorted(found) == [row for row, _ in lines]
    assert [found[row]["line"].encode() + b"\n" for row, _ in lines] == [line for _, line in lines]


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(
    sources=st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 90))),
    header=st.sampled_from([b"", b"a header\n"]),
    is_typed=st.booleans(),
)
def test_stretches_cover_every_id_once(sources, header, is_typed):
    """In the order of the ids, none of them much larger than asked for."""
    info = SimpleNamespace(
        header=b"" if is_typed else header,
        schema=pa.schema([("n", pa.int8())]) if is_typed else None,
        sources=[
            SimpleNamespace(ordinal=n, rows=rows, text_bytes=rows * width)
            for n, (rows, width) in enumerate(sources)
        ],
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored, "_STRETCH_BYTES", 20_000)
        patch.setattr(stored, "_STRETCH_VECTORS", 0)
        found = list(stretches(info))
    edges = [edge for first, end, _ in found for edge in (first, end)]
    assert edges == sorted(edges)
    ids = np.concatenate([
        (n << POSITION_BITS) + len(info.header) + np.arange(rows) * (1 if is_typed else width)
        for n, (rows, width) in enumerate(sources)
    ] or [np.empty(0, int)])  # fmt: skip
    held = [int(((ids >= first) & (ids < end)).sum()) for first, end, _ in found]
    assert sum(held) == len(ids)
    assert all(1 <= rows <= 1 << 16 for *_, rows in found)
    widest = max([width for _, width in sources], default=0)
    for (first, end, _), rows in zip(found, held, strict=True):
        if first >> POSITION_BITS == (end - 1) >> POSITION_BITS:
            assert rows * sources[first >> POSITION_BITS][1] <= 20_000 + widest


def test_a_reader_takes_the_memory_that_a_plan_counts_for_it(tmp_path):
    """Vectors of wide lines are decoded whole; with less it is an error, and no crash."""
    reference.write_numbered(tmp_path / "wide", 3000, 12_000)
    ingest(tmp_path / "s.duckdb", tmp_path / "wide")
    info = open_store(tmp_path / "s.duckdb")
    assert info.sources[0].vector_bytes == 2048 * 12_000
    assert info.row_group_rows == 2048  # fewer than DuckDB's own, since these are wide
    for memory_bytes, is_enough in ((info.reader_bytes(), True), (20_000_000, False)):
        source = StoreRows(info, batch_bytes=1 << 20, memory_bytes=memory_bytes)

        def work(source=source):
            for rows in source.batches():
                del rows

        try:
            if is_enough:
                in_threads(work, 2)
                source.check_unchanged()
            else:
                with pytest.raises(MemoryTooSmall):
                    in_threads(work, 2)
        finally:
            source.close()
