"""Files to batches: what a worker takes at a time, how it ends, what it says when it cannot."""

import contextlib
import gzip
import io
import os
import threading
import tracemalloc
from io import FileIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from line_sources import BLOCK, expected, make_source, read_all, streamed

from dbshuf.base.block_io import BlockReader
from dbshuf.base.workers import Stopped
from dbshuf.errors import InputChanged, LineTooLong
from dbshuf.source.input import Input, Pipe
from dbshuf.source.inputs import resolve_inputs
from dbshuf.source.lines import stream as stream_module
from dbshuf.source.lines.file_ranges import RangeReader, cut
from dbshuf.source.lines.stream import Stream, told_length
from dbshuf.units import MIB

GIB_AND_MORE = (1 << 30) + 1


def listed(sizes):
    """Return inputs that are plain files of some sizes."""
    return [Input(ordinal, "in", "in", None, size) for ordinal, size in enumerate(sizes)]


def written(folder, texts):
    """Write files and return them as inputs, in this order."""
    for number, text in enumerate(texts):
        (folder / f"{number:03}").write_bytes(text)
    return resolve_inputs([str(folder / f"{number:03}") for number in range(len(texts))])


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(
    sizes=st.lists(st.one_of(st.integers(0, 12), st.integers(0, 300)), max_size=30),
    header_bytes=st.sampled_from([0, 0, 7]),
    piece_bytes=st.integers(8, 40),
)
def test_units_hold_every_byte_once_and_are_few(sizes, header_bytes, piece_bytes):
    """A unit is a stored run, and its slices must be worth a read each."""
    units = list(cut(listed(sizes), header_bytes, piece_bytes))
    found = [(p.input.ordinal, p.start, p.end) for unit in units for p in unit]
    for ordinal, size in enumerate(sizes):
        at = header_bytes
        for _, start, end in sorted(piece for piece in found if piece[0] == ordinal):
            assert start == at < end
            at = end
        assert at == max(size, header_bytes)
    for unit in units:
        room = piece_bytes if unit[0].is_whole else piece_bytes + 1
        assert sum(piece.end + 1 - piece.start for piece in unit) <= room
        assert len(unit) == 1 or all(piece.is_whole for piece in unit)
    cut_files = sum(size > piece_bytes // 2 for size in sizes)
    assert len(units) <= 2 * sum(size + 1 for size in sizes) / piece_bytes + cut_files + 1


def test_files_of_some_mebibytes_share_a_batch(tmp_path):
    """A hundred thousand of them would else be as many runs."""
    line = b"a line of some length\n" * 70_000
    texts = [b"%d\n" % number + line for number in range(9)]  # 1.5 MB each
    source = make_source(written(tmp_path, texts), buffer_bytes=8 * MIB, rows=10**6)
    batches = [(b.rows, b.text_bytes) for b in source.batches(source.new_arena())]
    assert len(batches) == 3
    assert sum(rows for rows, _ in batches) == 9 * 70_001
    assert sum(size for _, size in batches) == source.text_bytes == sum(map(len, texts))


def test_whole_files_are_read_to_their_end_when_reads_are_short(tmp_path, monkeypatch):
    """The system may give less than it was asked for, of a regular file too."""
    texts = [b"%d\n" % n + b"z" * (n * 700) + b"\nlast" for n in range(9)]
    inputs = written(tmp_path, texts)
    for name in ("readv", "preadv"):
        whole = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda fd, views, *at, whole=whole: whole(fd, [views[0][:999]], *at)
        )
    assert read_all(make_source(inputs, buffer_bytes=8 * BLOCK)) == expected(texts)


def test_a_file_that_becomes_shorter_is_noticed_and_no_endless_read(tmp_path, monkeypatch):
    """Also where the start of a line is looked for, past its new end."""
    inputs = written(tmp_path, [b"x" * 200 * BLOCK])
    readinto = BlockReader.readinto

    def cut_then_read(self, view, offset):
        os.truncate(tmp_path / "000", 2 * BLOCK + 10)
        return readinto(self, view, offset)

    monkeypatch.setattr(BlockReader, "readinto", cut_then_read)
    source = make_source(inputs)
    next(source._work), next(source._work)
    with pytest.raises(InputChanged, match="shorter"):
        read_all(source)


def test_a_source_makes_nothing_for_each_input_before_it_is_read():
    """Memory is split by then; a million inputs are no reason to exceed it."""
    for codec in (None, "gzip"):
        inputs = [Input(0, "in", "in", codec, 5 * MIB)] * 100_000
        tracemalloc.start()
        source = make_source(inputs, buffer_bytes=8 * MIB)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert held < 300_000
        source.close()


def test_files_without_a_last_terminator_are_counted_once(tmp_path):
    """The end of a file may be read twice, for its last line."""
    texts = [b"a\n" * BLOCK * n + b"b" * (n * 3000) for n in range(6)] + [b"", b"c\n", b"d"]
    source = make_source(written(tmp_path, texts))
    rows = read_all(source, 2)
    assert rows == expected(texts)
    assert source.text_bytes == sum(len(line) for _, line in rows)


def test_no_more_streams_are_open_than_there_are_workers():
    """Each has a descriptor, a window of its codec, and a line that is half read."""
    texts = [b"%d\n" % number * 9 * BLOCK for number in range(9)]
    source = make_source([streamed(n, text, "gzip") for n, text in enumerate(texts)])
    workers = [source.batches(source.new_arena()) for _ in range(3)]
    rows = 0
    while workers:
        for worker in list(workers):
            batch = next(worker, None)
            if batch is None:
                workers.remove(worker)
            else:
                rows += batch.rows
            assert len(source._open) <= 3
    assert rows == 9 * 9 * BLOCK


def in_background(call):
    """Run a call in a thread; return the thread and a list of what it raised."""
    raised = []

    def work():
        try:
            call()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread, raised


@pytest.mark.parametrize("is_packed", [False, True])
def test_stop_wakes_a_worker_that_waits_for_a_silent_pipe_of_another(is_packed, wait_for):
    """Ctrl-C must not wait for who writes the pipe."""
    end, other = os.pipe()
    begin = gzip.compress(b"one\n")[:15] if is_packed else b"one\n"
    pipe = Pipe(FileIO(end), begin)
    source = make_source([Input(0, "in", None, "gzip" if is_packed else None, None, pipe=pipe)])
    reader, _ = in_background(lambda: list(source.batches(source.new_arena())))
    wait_for(lambda: source._open, "a worker that reads")
    waiter, raised = in_background(lambda: list(source.batches(source.new_arena())))
    waiter.join(0.2)
    assert waiter.is_alive()
    source.stop()
    waiter.join(10)
    assert not waiter.is_alive()
    assert [type(error) for error in raised] == [Stopped]
    os.close(other)
    reader.join(10)
    source.close()


def test_stop_wakes_a_worker_that_waits_for_the_memory_of_long_lines():
    """Its holder may have failed outside, with the generator still open."""
    text = b"x" * 9 * BLOCK + b"\n"
    source = make_source([streamed(0, text), streamed(1, text)])
    holder = source.batches(source.new_arena())
    next(holder)
    waiter, raised = in_background(lambda: list(source.batches(source.new_arena())))
    waiter.join(0.2)
    assert waiter.is_alive()
    source.stop()
    waiter.join(10)
    assert [type(error) for error in raised] == [Stopped]
    holder.close()


def test_a_stopped_source_gives_no_more(tmp_path):
    """Whoever asks next leaves; twice does no harm."""
    source = make_source(written(tmp_path, [b"a\n" * 9 * BLOCK]))
    batches = source.batches(source.new_arena())
    next(batches)
    source.stop()
    source.stop()
    with pytest.raises(Stopped):
        list(batches)
    with pytest.raises(Stopped):
        next(source.batches(source.new_arena()))


def test_closing_a_source_closes_the_pipes_that_no_one_has_read():
    """An error before their turn leaves none open."""
    inputs = [streamed(0, b"a\n"), streamed(1, b"b\n")]
    make_source(inputs).close()
    assert all(one.pipe.raw.closed for one in inputs)


@pytest.mark.parametrize("kind", ["stream", "file"])
@pytest.mark.parametrize("terminator", [b"\n", b"\0"])
def test_a_line_beyond_a_gibibyte_asks_for_no_memory(kind, terminator, tmp_path, monkeypatch):
    """No --memory would do, so the terminator is the likely mistake."""
    monkeypatch.setattr(Stream, "length_to_end", lambda *_: GIB_AND_MORE)
    monkeypatch.setattr(RangeReader, "line_bytes", lambda *_: GIB_AND_MORE)
    text = b"x" * 20 * BLOCK
    inputs = [streamed(0, text)] if kind == "stream" else written(tmp_path, [text])
    source = make_source(inputs, longest_bytes=BLOCK, terminator=terminator)
    with pytest.raises(LineTooLong, match="at most 1 GiB") as caught:
        read_all(source)
    assert "needs" not in caught.value.hint
    assert "-z" in caught.value.hint


class Endless(io.RawIOBase):
    """Bytes without a line's end; a test that reads too many of them fails."""

    def __init__(self):
        self.given_bytes = 0

    def readable(self):
        return True

    def readinto(self, buffer):
        assert self.given_bytes < 20 * MIB
        self.given_bytes += len(buffer)
        buffer[:] = b"x" * len(buffer)
        return len(buffer)


def test_a_line_without_an_end_is_not_waited_for(monkeypatch):
    """As of /dev/zero, and of what decompresses to as much."""
    monkeypatch.setattr(stream_module, "COUNTED_BYTES", 4 * MIB)
    source = Input(0, "endless", None, None, None, pipe=Pipe(Endless(), b""))
    with contextlib.closing(Stream(source, 0, BLOCK)) as stream:
        assert stream.lines_to_end(b"\n") == 1
        assert stream.length_to_end(b"\n") > 4 * MIB
    assert told_length(5 * MIB) == "more than 4.19 MB"
