"""Lines in memory by the million: threads read and find them, numpy orders, Arrow gathers."""

import mmap
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow._compute import TakeOptions, call_function

from dbshuf.base.key import U64, mix_ids, range_of
from dbshuf.base.process_memory import available_bytes, usable_cores
from dbshuf.base.row_batch import arrow_numbers
from dbshuf.shuf.output import Output

T = TypeVar("T")
R = TypeVar("R")
U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]

_UNCHECKED = TakeOptions(boundscheck=False)
_SCAN_BYTES = 256 << 10  # the terminator mask of one step stays in the L2 cache
_READ_BYTES = 4 << 20
_PIECE_BYTES, _MOST_PIECES = 4 << 20, 64  # of what one thread reads and sorts at a time
_PART_BYTES, _PART_ROWS = 4 << 20, 1 << 15  # of one part of the order, about
_MOST_PARTS = 1 << 16  # what two bytes tell apart


class Lines:
    """Lines in one buffer.

    buffer  uint8; it ends with a terminator
    starts  int64, shape (rows + 1,): line r is buffer[starts[r]:starts[r + 1]]
    """

    def __init__(self, buffer: U8, starts: I64) -> None:
        self.starts = starts
        self.rows = len(starts) - 1
        self._array = pa.Array.from_buffers(
            pa.large_binary(), self.rows, [None, pa.py_buffer(starts), pa.py_buffer(buffer)]
        )

    def take(self, rows: I64) -> pa.Array:
        """Return lines by their rows: large_binary."""
        return taken(self._array, rows)

    def write(self, rows: Iterable[I64], output: Output) -> None:
        """Write lines by their rows, some at a time, gathered by several threads."""
        for lines in in_turn(self.take, rows):
            output.write(text_of(lines))


def taken(lines: pa.Array, rows: I64) -> pa.Array:
    """Return the values of an array in these rows.

    `pyarrow.compute` makes a Python function of each that Arrow has when it is imported, 0.03 s:
    here it is called by its name.
    """
    return call_function("take", [lines, arrow_numbers(rows)], _UNCHECKED)


class Piece:
    """Some lines that lie side by side, sorted by the parts that their keys fall in.

    keys    uint64, shape (rows,)
    rows    int64, shape (rows,): their places in the piece
    bounds  shape (parts + 1,): of part p are keys[bounds[p]:bounds[p + 1]]
    """

    def __init__(self, starts: I64, words: tuple[int, int], parts: int) -> None:
        """Sort lines that begin at these places of the input."""
        keys = keys_of(starts, words)
        part = range_of(keys, parts).astype(np.uint16)
        self.rows = np.argsort(part, kind="stable")  # of two bytes, so a radix sort
        self.keys = keys[self.rows]
        self.bounds = np.concatenate([[0], np.cumsum(np.bincount(part, minlength=parts))])


class Ordered:
    """Lines, and their order in parts that fit in a core's cache."""

    def __init__(self, lines: Lines, pieces: list[Piece], parts: int) -> None:
        self.lines = lines
        self._pieces, self._parts = pieces, parts
        first_row = 0
        for piece in pieces:
            piece.rows += first_row
            first_row += len(piece.rows)

    def write(self, count: int | None, output: Output) -> None:
        """Write the lines in order, `count` of them at most."""
        left = self.lines.rows if count is None else count
        for lines in in_turn(self._part, range(self._parts)):
            taken = lines[:left]
            output.write(text_of(taken))
            left -= len(taken)
            if not left:
                break

    def _part(self, part: int) -> pa.Array:
        keys, rows = [], []
        for piece in self._pieces:
            within = slice(piece.bounds[part], piece.bounds[part + 1])
            keys.append(piece.keys[within])
            rows.append(piece.rows[within])
        order = order_within(np.concatenate(keys), self._parts)
        return self.lines.take(np.concatenate(rows)[order])


def order_within(keys: U64, parts: int) -> I64:
    """Return the places of keys in their order: int64, shape (rows,).

    keys   uint64, shape (rows,), all of one part
    parts  that there are

    Two radix sorts by 16 bits each take 13 ns a row, and a sort by all of 64 takes 43 (32,000
    keys, numpy 2.4.6). That these 32 bits do not tell apart all keys is seen, and rare.
    """
    place = keys * np.uint64(parts)  # modulo 2^64: where in the part, as a fraction of it
    order = np.argsort((place >> np.uint64(32)).astype(np.uint16), kind="stable")
    high = (place >> np.uint64(48)).astype(np.uint16)
    order = order[np.argsort(high[order], kind="stable")]
    in_order = place[order]
    return np.argsort(place) if (in_order[1:] < in_order[:-1]).any() else order


def keys_of(starts: I64, words: tuple[int, int]) -> U64:
    """Return the keys of lines that begin at these places: uint64, shape (rows,)."""
    keys = starts.astype(np.uint64)
    mix_ids(keys, words)
    return keys


def _grown(space: mmap.mmap, size: int) -> mmap.mmap:
    """Return memory that begins with what was there; where the system can, nothing is copied."""
    try:
        space.resize(size)
    except SystemError:
        larger = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        larger[: len(space)] = space[:]
        return larger
    return space


def as_rows(numbers: list[int] | U64) -> I64:
    """Return numbers of rows as int64, shape (rows,)."""
    if isinstance(numbers, list):
        return np.array(numbers, np.int64)
    return numbers.view(np.int64)


def number_text(numbers: U64, low: int, end: str) -> memoryview:
    """Return numbers and `low` more as text, each with an end."""
    import pyarrow.compute as pc

    shown = pc.cast(arrow_numbers(numbers + np.uint64(low)), pa.large_string())
    empty, ends = pa.scalar("", pa.large_string()), pa.scalar(end, pa.large_string())
    return text_of(pc.binary_join_element_wise(shown, empty, ends))


def memory_limit() -> int:
    """Return how many bytes a run may take."""
    return available_bytes() // 2


def text_of(lines: pa.Array) -> memoryview:
    """Return the bytes of lines that `take` returned, or the first of them, as one view."""
    starts = np.frombuffer(lines.buffers()[1], np.int64)
    return memoryview(lines.buffers()[2] or b"")[: starts[len(lines)]]


def ends_in(buffer: U8, begin: int, end: int, terminator: int) -> I64:
    """Return the places behind the terminators in buffer[begin:end]: int64, ascending."""
    found = [np.empty(0, np.int64)]
    for base in range(begin, end, _SCAN_BYTES):
        ends = np.flatnonzero(buffer[base : min(base + _SCAN_BYTES, end)] == terminator)
        ends += base + 1
        found.append(ends)
    return np.concatenate(found)


class Reading:
    """Bytes that are read into one buffer, and the lines that are found there meanwhile.

    words   of the seed; None where no order is wanted
    sample  the first bytes
    """

    def __init__(self, terminator: bytes, words: tuple[int, int] | None, sample: bytes) -> None:
        self._terminator, self._words, self._sample = terminator, words, sample
        self._parts = 1

    def file(self, fd: int, begin: int, size: int) -> Ordered:
        """Read `size` bytes of a file, or those that are left when it shrinks."""
        space = mmap.mmap(-1, size + 1, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        buffer = np.frombuffer(space, np.uint8)
        step = self._lay_out(size)

        def read(first: int) -> tuple[I64, Piece | None, int]:
            last, filled = min(first + step, size), first
            with memoryview(space) as view:
                while filled < last:
                    piece = view[filled : min(filled + _READ_BYTES, last)]
                    count = os.preadv(fd, [piece], begin + filled)
                    if not count:
                        break
                    filled += count
            return *self._piece(buffer, first, filled, size), filled

        found, filled = [], 0
        for starts, piece, filled in in_turn(read, range(0, size, step)):
            found.append((starts, piece))
            if filled % step:
                break
        return self._ordered(buffer, filled, found)

    def stream(self, first: bytes, fd: int, most_bytes: int) -> Ordered | U8:
        """Read a stream of which `first` was read already.

        Returns  if it has more than `most_bytes`, what was read of it: uint8
        """
        size, filled = max(2 * len(first), 4 * _READ_BYTES), len(first)
        space = mmap.mmap(-1, size + 1, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        space[:filled] = first
        while True:
            if filled == size:
                size *= 2
                space = _grown(space, size + 1)
            with memoryview(space) as view:
                count = os.readv(fd, [view[filled : min(filled + _READ_BYTES, size)]])
            filled += count
            if filled > most_bytes:
                return np.frombuffer(space, np.uint8)[:filled]
            if not count:
                break
        buffer = np.frombuffer(space, np.uint8)
        step = self._lay_out(filled)

        def find(begin: int) -> tuple[I64, Piece | None]:
            return self._piece(buffer, begin, min(begin + step, filled), filled)

        return self._ordered(buffer, filled, list(in_turn(find, range(0, filled, step))))

    def _lay_out(self, size: int) -> int:
        """Set the parts that suit so many bytes; return the bytes of a piece."""
        rows = size * self._sample.count(self._terminator) // max(len(self._sample), 1)
        self._parts = min(1 + max(size // _PART_BYTES, rows // _PART_ROWS), _MOST_PARTS)
        return max(_PIECE_BYTES, size // _MOST_PIECES)

    def _piece(self, buffer: U8, begin: int, end: int, size: int) -> tuple[I64, Piece | None]:
        """Return where lines begin: at `begin` 0, and behind the terminators in these bytes."""
        starts = ends_in(buffer, begin, end, self._terminator[0])
        if not begin:
            starts = np.concatenate([np.zeros(1, np.int64), starts])
        if starts.size and starts[-1] == size:
            starts = starts[:-1]
        return starts, Piece(starts, self._words, self._parts) if self._words else None

    def _ordered(self, buffer: U8, size: int, found: list[tuple[I64, Piece | None]]) -> Ordered:
        if size and buffer[size - 1] != self._terminator[0]:
            buffer[size] = self._terminator[0]
            size += 1
        starts = np.concatenate([*(starts for starts, _ in found), np.array([size], np.int64)])
        pieces = [piece for _, piece in found if piece is not None]
        return Ordered(Lines(buffer[:size], starts), pieces, self._parts)


def in_turn(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Yield what `work` returns for each item, in their order; a few are worked on ahead."""
    threads = usable_cores()
    with ThreadPoolExecutor(threads) as pool:
        waiting = deque[Future[R]]()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
