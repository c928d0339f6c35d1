"""One side of paired files: its lines front to back, a chunk read ahead by a thread."""

import queue
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from dbshuf.base.block_io import U8
from dbshuf.base.key import U64
from dbshuf.base.line_batch import I32, SCAN_BYTES, Arena, origin_of
from dbshuf.base.workers import Stopped, join_all
from dbshuf.source.input import Input
from dbshuf.source.lines.stream import Stream
from dbshuf.units import KIB, MIB

# A smaller chunk makes more pieces of a batch, a larger one takes more memory for each side.
_CHUNK_BYTES, _LEAST_CHUNK_BYTES = MIB, 256 * KIB
_ALL_CHUNKS_BYTES = 8 * MIB  # of the heads of all sides
_CHUNKS = 4  # of a side: given out in part, read ahead, being read, and what is carried over
_CARRY_BYTES = 64 * KIB  # copied of a line that is half read; and read at a time of a long one
_OFFSET_BYTES = 4
_WAIT_S = 0.2  # between two looks at whether the run was stopped


def chunk_bytes(sides: int) -> int:
    """Return how much is read at a time of each of so many sides."""
    return max(min(_CHUNK_BYTES, _ALL_CHUNKS_BYTES // sides), _LEAST_CHUNK_BYTES)


def side_bytes(sides: int, mean_line_bytes: float) -> int:
    """Return the memory that one side takes beside the batches that are made of it."""
    return int(_CHUNKS * chunk_bytes(sides) * (1 + _OFFSET_BYTES / max(mean_line_bytes, 1)))


@dataclass(frozen=True)
class Chunk:
    """Complete lines of one input, in a buffer that nobody writes to any more.

    offsets  int32, shape (rows + 1,), as of a LineBatch
    origin   the id of buffer[0], modulo 2^64
    """

    buffer: U8
    offsets: I32
    origin: int
    ordinal: int

    @property
    def rows(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def lines(self) -> pa.Array:
        buffers = [None, pa.py_buffer(self.offsets), pa.py_buffer(self.buffer)]
        return pa.Array.from_buffers(pa.binary(), self.rows, buffers)

    def ids(self, first: int, last: int) -> U64:
        """Return the row ids of lines [first, last)."""
        ids = self.offsets[first:last].astype(np.uint64)
        ids += np.uint64(self.origin % (1 << 64))
        return ids


class Side:
    """The lines of all inputs of one side; for one thread at a time.

    rows      that were given out of each input, by its ordinal
    row       of the head chunk: the next to give out
    is_long   whether the next line is longer than a chunk, for `read_long`
    is_ended  whether there is none
    """

    def __init__(
        self, inputs: Sequence[Input], header_bytes: int, terminator: bytes, size: int
    ) -> None:
        """Prepare to read chunks of `size` bytes; nothing is opened yet."""
        self.rows = {one.ordinal: 0 for one in inputs}
        self.row = 0
        self.is_long = self.is_ended = False
        self._streams = (Stream(one, header_bytes, _CARRY_BYTES) for one in inputs)
        self._stream: Stream | None = None  # the thread's, but while nothing is asked of it
        self._terminator, self._size = terminator, size
        self._text_bytes = 0  # of streams that are done
        self._chunks: deque[Chunk] = deque()
        self._asked: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._found: queue.SimpleQueue[Chunk | BaseException | bool] = queue.SimpleQueue()
        self._is_asked = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    @property
    def head(self) -> Chunk:
        """The chunk whose lines come next."""
        return self._chunks[0]

    @property
    def left(self) -> int:
        """Lines of the head chunk that were not given out."""
        return self.head.rows - self.row

    @property
    def text_bytes(self) -> int:
        """Bytes of all lines of streams that were read to their end."""
        return self._text_bytes

    def look(self) -> None:
        """Have a head chunk, or know that the next line is long, or that there is none.

        Raises  what reading raises; Stopped after `stop`
        """
        if not self._chunks and not self.is_long and not self.is_ended:
            found = self._next()
            if isinstance(found, Chunk):
                self._chunks.append(found)
                self._ask()
            else:
                self.is_long, self.is_ended = found, not found

    def take(self, count: int) -> tuple[Chunk, int, int]:
        """Give out the next lines, all of the head chunk: it, and which of its lines."""
        chunk, first = self.head, self.row
        self.row += count
        self.rows[chunk.ordinal] += count
        if self.row == chunk.rows:
            self._chunks.popleft()
            self.row = 0
        return chunk, first, first + count

    def read_long(self, room: U8) -> int:
        """Read the next line, which is long, into `room`, to be the head chunk alone.

        Returns  its bytes; 0 where it does not fit, and then only `refuse` may follow
        """
        stream = self._stream
        assert stream is not None
        if stream.carried_bytes >= len(room) - 1:
            return 0
        arena = Arena(room, 0)
        filled = stream.fill_long(arena, len(room), self._terminator)
        if filled is None:
            return 0
        begin = max(filled.end - _CARRY_BYTES - 1, 0)  # it ends in what was read last
        end = arena.first_terminator(begin, filled.end, self._terminator) + 1
        ordinal = stream.input.ordinal
        origin = origin_of(ordinal, filled.position, 0)
        self._chunks.append(Chunk(room, np.array([0, end], np.int32), origin, ordinal))
        if end < filled.end:  # what follows does not keep the memory of the long line
            rest = room[end : filled.end].copy()
            self._chunks.append(_chunk_of(rest, len(rest), origin + end, ordinal, self._terminator))
        self.is_long = False
        self._end_if_done(stream)
        self._ask()
        return end

    def refuse(self) -> tuple[Input, int, int]:
        """Return where the line begins that did not fit, and its length (bytes)."""
        stream = self._stream
        assert stream is not None
        return stream.input, stream.position, stream.length_to_end(self._terminator)

    def count(self) -> int:
        """Return how many lines there are in all, reading on to the end."""
        count = sum(self.rows.values())
        if self._is_asked and isinstance(found := self._next(), Chunk):
            self._chunks.append(found)
        count += sum(chunk.rows for chunk in self._chunks) - self.row
        while self._stream is not None or self._has_next():
            assert self._stream is not None
            count += self._stream.lines_to_end(self._terminator)
            self._end_if_done(self._stream)
        return count

    def stop(self) -> None:
        """End the thread; one that waits for a silent pipe stays until something comes."""
        self._stop.set()
        self._asked.put(False)

    def close(self) -> None:
        """Stop, and close what is open."""
        self.stop()
        join_all([self._thread])
        if self._stream is not None:
            self._stream.close()

    def _ask(self) -> None:
        self._is_asked = True
        self._asked.put(True)

    def _next(self) -> Chunk | bool:
        """Return what the thread has read: a chunk, or whether a long line follows."""
        if self._thread.ident is None:
            self._thread.start()
        if not self._is_asked:
            self._ask()
        while True:
            if self._stop.is_set():
                raise Stopped
            try:
                found = self._found.get(timeout=_WAIT_S)
            except queue.Empty:
                continue
            self._is_asked = False
            if isinstance(found, BaseException):
                raise found
            return found

    def _work(self) -> None:
        while self._asked.get() and not self._stop.is_set():
            try:
                self._found.put(self._read())
            except BaseException as error:
                self._found.put(error)

    def _read(self) -> Chunk | bool:
        while self._stream is not None or self._has_next():
            stream = self._stream
            assert stream is not None
            if stream.carried_bytes >= self._size - 1:
                return True
            arena = Arena(np.empty(self._size, np.uint8), 0)
            filled = stream.fill(arena, 0, self._size, self._terminator)
            self._end_if_done(stream)
            if filled.end:
                ordinal = stream.input.ordinal
                origin = origin_of(ordinal, filled.position, 0)
                return _chunk_of(arena.buffer, filled.end, origin, ordinal, self._terminator)
        return False

    def _has_next(self) -> bool:
        self._stream = next(self._streams, None)
        return self._stream is not None

    def _end_if_done(self, stream: Stream) -> None:
        if stream.is_done:
            stream.close()
            self._text_bytes += stream.text_bytes
            self._stream = None


def _chunk_of(buffer: U8, end: int, origin: int, ordinal: int, terminator: bytes) -> Chunk:
    ends = [np.zeros(1, np.int32)]
    for base in range(0, end, SCAN_BYTES):
        block = buffer[base : min(base + SCAN_BYTES, end)]
        found = np.flatnonzero(block == terminator[0])
        found += base + 1
        ends.append(found.astype(np.int32))
    return Chunk(buffer, np.concatenate(ends), origin, ordinal)
