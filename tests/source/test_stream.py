"""Streams: lines of any length come out of any buffer, and little is kept between two fills."""

import contextlib
import os
import sys
import threading

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from line_sources import BLOCK, expected, make_source, read_all, rows_of, streamed
from packed import CODECS, pack

from dbshuf.base.line_batch import Arena
from dbshuf.errors import InputChanged, LineTooLong
from dbshuf.source.inputs import resolve_inputs
from dbshuf.source.lines.reader import Pause
from dbshuf.source.lines.stream import Stream
from dbshuf.source.tables.reader import open_tables

ROOM = 2 * BLOCK  # of a buffer of four blocks
lengths = st.one_of(
    st.integers(0, 40),
    st.integers(-3, 3).map(lambda step: ROOM // 4 + step),
    st.integers(-3, 3).map(lambda step: ROOM + step),
    st.integers(ROOM // 2, 5 * ROOM),
)
streams = st.lists(st.lists(lengths, max_size=8), min_size=1, max_size=4)


def texts_of(shapes, terminator=b"\n", is_ended=True):
    """Return the text of each shape: lines that tell their own place and length."""
    texts = []
    for shape in shapes:
        lines = [(b"%d." % n * length)[:length] for n, length in enumerate(shape)]
        texts.append(terminator.join(lines) + (terminator if lines and is_ended else b""))
    return texts


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(
    shapes=streams,
    codec=st.sampled_from([None, "gzip"]),
    workers=st.integers(1, 3),
    rows=st.sampled_from([1, 3, 1000]),
    terminator=st.sampled_from([b"\n", b"\0"]),
    is_ended=st.booleans(),
)
def test_streams_of_long_lines_give_every_line_with_its_id(
    *, shapes, codec, workers, rows, terminator, is_ended
):
    """Several lines in a row longer than a buffer: none lost, doubled, cut or misplaced."""
    texts = texts_of(shapes, terminator, is_ended)
    inputs = [streamed(ordinal, text, codec) for ordinal, text in enumerate(texts)]
    source = make_source(inputs, rows=rows, terminator=terminator)
    assert read_all(source, workers) == expected(texts, terminator)
    assert source.text_bytes == sum(len(line) for _, line in expected(texts, terminator))


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    shape=st.lists(lengths, max_size=12),
    others=st.lists(st.lists(st.integers(0, 40), max_size=50), max_size=3),
    workers=st.integers(1, 3),
    rows=st.sampled_from([1, 3, 1000]),
    is_ended=st.booleans(),
)
def test_one_worker_goes_on_with_the_line_that_is_too_long_for_all(
    *, shape, others, workers, rows, is_ended
):
    """In a pipe it cannot be read again: what was read of it is there, and all before it is out."""
    texts = texts_of([shape, *others], is_ended=is_ended)
    inputs = [streamed(ordinal, text) for ordinal, text in enumerate(texts)]
    pause = Pause(longest_bytes=6 * ROOM, spare_bytes=0)
    source = make_source(inputs, rows=rows, longest_bytes=2 * ROOM, pause=pause)
    found = read_all(source, workers)
    if not 2 * ROOM < max(shape, default=0) <= 3 * ROOM:
        assert (pause.source is not None) == (max(shape, default=0) > 2 * ROOM)
    if pause.source is not None:
        source.go_on()
        found += read_all(source)
    assert sorted(found) == expected(texts)
    assert source.text_bytes == sum(len(line) for _, line in expected(texts))


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(shape=st.lists(lengths, min_size=1, max_size=12))
def test_what_a_stream_keeps_outside_of_an_arena_is_bounded(shape):
    """It is in no account of memory, whatever the lines are."""
    (text,) = texts_of([shape])
    arena, larger = (Arena(np.empty(size, np.uint8), 1000) for size in (ROOM, 8 * ROOM))
    stream, found = Stream(streamed(0, text), 0, ROOM // 4), b""
    while not stream.is_done:
        if stream.carried_bytes >= ROOM - 1:
            filled, used = stream.fill_long(larger, 8 * ROOM, b"\n"), larger
        else:
            filled, used = stream.fill(arena, 0, ROOM, b"\n"), arena
        found += used.buffer[: filled.end].tobytes()
        assert stream.is_in_arena or stream.carried_bytes <= ROOM // 4
        assert not (stream.is_in_arena and used is larger)
    assert found == text


def test_a_stream_whose_carry_finds_no_room_goes_on_in_a_fresh_buffer():
    """It is begun, another one was begun in this buffer first."""
    text = b"x" * (ROOM - 10) + b"\n" + b"y" * (ROOM // 5) + b"\n"
    stream = Stream(streamed(0, text), 0, ROOM // 4)
    arena = Arena(np.empty(ROOM, np.uint8), 1000)
    assert stream.fill(arena, 0, ROOM, b"\n").end == ROOM - 9
    carried, begin = stream.carried_bytes, ROOM - 5
    assert carried > 4
    assert stream.fill(arena, begin, ROOM, b"\n").end == begin
    assert (stream.carried_bytes, stream.position) == (carried, ROOM - 9)
    filled = stream.fill(arena, 0, ROOM, b"\n")
    assert arena.buffer[: filled.end].tobytes() == text[ROOM - 9 :]


def test_a_stream_that_goes_on_in_a_worker_s_buffer_is_not_for_others():
    """They would read on from bytes that this worker is about to overwrite."""
    (text,) = texts_of([[ROOM // 2 + 9] * 20])
    source, rows, held = make_source([streamed(0, text)]), [], 0
    for batch in source.batches(source.new_arena()):
        rows += rows_of(batch)
        held += sum(stream.is_in_arena for stream in source._open)
        assert not any(stream.is_in_arena for stream in source._idle)
    assert held > 5
    assert rows == expected([text])


def test_real_pipes_of_long_lines_arrive_whole():
    """Their reads are short, and two are read by turns."""
    texts = texts_of([[90_000, 200_000, 3, 70_000] * 3, [1, 150_000, 150_000]])
    ends = [os.pipe() for _ in texts]

    def feed(end, text):
        with open(end, "wb", buffering=0) as sink:
            for at in range(0, len(text), 777):
                sink.write(text[at : at + 777])

    writers = [
        threading.Thread(target=feed, args=(end, text), daemon=True)
        for (_, end), text in zip(ends, texts, strict=True)
    ]
    for writer in writers:
        writer.start()
    source = make_source(resolve_inputs([f"/dev/fd/{end}" for end, _ in ends]))
    for end, _ in ends:
        os.close(end)
    assert read_all(source, 2) == expected(texts)
    for writer in writers:
        writer.join()
    source.close()


def test_a_header_longer_than_what_is_read_at_a_time_is_left_out():
    """Its bytes still count for the ids of what follows."""
    texts = texts_of([[2_000_000, 5, 3 * ROOM, 6]])
    source = make_source([streamed(0, texts[0], "gzip")], header_bytes=2_000_001)
    assert read_all(source) == expected(texts, header_bytes=2_000_001)


@pytest.mark.parametrize("codec", [None, "gzip"])
def test_a_line_of_a_stream_over_the_limit_is_named_with_its_place_and_length(codec):
    """Its length is counted to its end, of which nothing is kept."""
    text = b"short\n" * 1000 + b"x" * 500_000 + b"\nshort\n"
    source = make_source([streamed(0, text, codec)], longest_bytes=100_000)
    with pytest.raises(LineTooLong, match=r"in-0`: the line at byte 6000 .*500001 bytes"):
        read_all(source, 2)


@pytest.mark.parametrize("kind", ["stream", "file"])
def test_long_lines_in_a_row_share_one_memory(kind, tmp_path):
    """A caller's loop variable still holds the last batch when the next line is read."""
    (text,) = texts_of([[4 * ROOM] * 4])
    (tmp_path / "in.txt").write_bytes(text)
    inputs = [streamed(0, text)] if kind == "stream" else resolve_inputs([str(tmp_path / "in.txt")])
    source = make_source(inputs)
    seen, rows = [], []
    for batch in source.batches(source.new_arena()):
        seen.append(batch)
        rows += rows_of(batch)
    assert rows == expected([text])
    assert len(seen) == 4
    assert all(np.shares_memory(seen[0].buffer, batch.buffer) for batch in seen)
    if sys.platform == "linux":  # where what was given back reads as zeros
        assert not seen[0].buffer.any()


@pytest.mark.parametrize("codec", CODECS)
def test_a_compressed_file_that_changes_is_noticed(codec, tmp_path):
    """Of one that another run replaces, the rows would be those of some moment or other."""
    path = tmp_path / "a"
    path.write_bytes(pack(codec, b"line\n" * 9))
    source = make_source(resolve_inputs([str(path)]))
    path.write_bytes(pack(codec, b"line\n" * 99))
    assert len(read_all(source)) == 99
    with pytest.raises(InputChanged, match="a` changed while it was read"):
        source.check_unchanged()


@pytest.mark.parametrize("kind", ["lines", "csv", "arrow"])
def test_a_compressed_file_that_changes_is_no_damaged_one(kind, tmp_path):
    """Half of it is the old text, and half the new one."""
    path = tmp_path / "a.gz"
    data = pack("gzip", b"name\nvalue\n" * 9)
    if kind == "arrow":
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, pa.schema([("n", pa.int8())])):
            pass
        data = pack("gzip", sink.getvalue().to_pybytes())
    path.write_bytes(data)
    inputs = resolve_inputs([str(path)])
    source = make_source(inputs) if kind == "lines" else None
    source = source or open_tables(inputs, kind, batch_bytes=99)
    path.write_bytes(data[:-7])
    with (
        contextlib.closing(source),
        pytest.raises(InputChanged, match=r"a\.gz` changed while it was read"),
    ):
        read_all(source) if kind == "lines" else list(source.batches())
