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
import pyarrow.compute as pc

from dbshuf.base.key import U64, mix_ids
from dbshuf.base.process_memory import available_bytes, usable_cores
from dbshuf.base.row_batch import arrow_numbers
from dbshuf.shuf.output import Output

T = TypeVar("T")
R = TypeVar("R")
U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]

_SCAN_BYTES = 256 << 10  # the terminator mask of one step stays in the L2 cache
_PIECE_BYTES = 4 << 20  # of one read
_WINDOW_BYTES = 4 << 20  # of one write, about; at most _WINDOW_ROWS
_WINDOW_ROWS = 1 << 16


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

    def ordered(self, words: tuple[int, int], first_byte: int = 0) -> I64:
        """Return the rows in the order of a seed's words: int64, shape (rows,)."""
        return np.argsort(keys_of(self.starts, words, first_byte))

    def take(self, rows: npt.NDArray[np.integer]) -> pa.Array:
        """Return lines by their rows: large_binary."""
        return pc.take(self._array, arrow_numbers(rows), boundscheck=False)

    def write(self, rows: Iterable[npt.NDArray[np.integer]], output: Output) -> None:
        """Write lines by their rows, some at a time, gathered by several threads."""
        for lines in in_turn(self.take, rows):
            output.write(text_of(lines))

    def windows(self, order: I64) -> Iterator[I64]:
        """Cut an order into parts of a few MB."""
        mean = max(int(self.starts[-1]) // max(self.rows, 1), 1)
        step = min(max(_WINDOW_BYTES // mean, 1), _WINDOW_ROWS)
        return (order[first : first + step] for first in range(0, len(order), step))


def keys_of(starts: I64, words: tuple[int, int], first_byte: int) -> U64:
    """Return the keys of lines: uint64, shape (rows,).

    starts      as of Lines
    first_byte  the place of starts' 0 in the input
    """
    keys = starts[:-1].astype(np.uint64)
    keys += np.uint64(first_byte)
    mix_ids(keys, words)
    return keys


def as_rows(numbers: list[int] | U64) -> I64:
    """Return numbers of rows as int64, shape (rows,)."""
    if isinstance(numbers, list):
        return np.array(numbers, np.int64)
    return numbers.view(np.int64)


def number_text(numbers: U64, low: int, end: str) -> memoryview:
    """Return numbers and `low` more as text, each with an end."""
    shown = pc.cast(arrow_numbers(numbers + np.uint64(low)), pa.string())
    return text_of(pc.binary_join_element_wise(shown, "", end))


def memory_limit() -> int:
    """Return how many bytes a run may take."""
    return available_bytes() // 2


def text_of(lines: pa.Array) -> memoryview:
    """Return the bytes of lines that `take` returned, as one view."""
    return memoryview(lines.buffers()[2] or b"")


def ends_in(buffer: U8, begin: int, end: int, terminator: int) -> I64:
    """Return the places behind the terminators in buffer[begin:end]: int64, ascending."""
    found = [np.empty(0, np.int64)]
    for base in range(begin, end, _SCAN_BYTES):
        ends = np.flatnonzero(buffer[base : min(base + _SCAN_BYTES, end)] == terminator)
        ends += base + 1
        found.append(ends)
    return np.concatenate(found)


def read_file(fd: int, begin: int, size: int, terminator: bytes) -> Lines:
    """Return the lines of `size` bytes of a file, or of those that are left when it shrinks."""
    space = mmap.mmap(-1, size + 1, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    buffer = np.frombuffer(space, np.uint8)

    def read(first: int) -> tuple[I64, int]:
        last, filled = min(first + _PIECE_BYTES, size), first
        with memoryview(space) as view:
            while filled < last and (count := os.preadv(fd, [view[filled:last]], begin + filled)):
                filled += count
        return ends_in(buffer, first, filled, terminator[0]), filled

    ends, filled = [], 0
    for more, filled in in_turn(read, range(0, size, _PIECE_BYTES)):
        ends.append(more)
        if filled < size and filled % _PIECE_BYTES:
            break
    return _lines(buffer, filled, ends, terminator)


def read_stream(first: bytes, fd: int, terminator: bytes, most_bytes: int) -> "Lines | U8":
    """Return the lines of a stream of which `first` was read already.

    Returns  if it has more than `most_bytes`, what was read of it: uint8
    """
    size, filled = max(2 * len(first), 4 * _PIECE_BYTES), len(first)
    space = mmap.mmap(-1, size + 1, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    space[:filled] = first
    while True:
        if filled == size:
            size *= 2
            space.resize(size + 1)
        with memoryview(space) as view:
            count = os.readv(fd, [view[filled : min(filled + _PIECE_BYTES, size)]])
        filled += count
        if filled > most_bytes:
            return np.frombuffer(space, np.uint8)[:filled]
        if not count:
            break
    buffer = np.frombuffer(space, np.uint8)

    def scan(begin: int) -> I64:
        return ends_in(buffer, begin, min(begin + _PIECE_BYTES, filled), terminator[0])

    return _lines(buffer, filled, list(in_turn(scan, range(0, filled, _PIECE_BYTES))), terminator)


def _lines(buffer: U8, size: int, ends: list[I64], terminator: bytes) -> Lines:
    if size and buffer[size - 1] != terminator[0]:
        buffer[size] = terminator[0]
        size += 1
        ends.append(np.array([size], np.int64))
    return Lines(buffer[:size], np.concatenate([np.zeros(1, np.int64), *ends]))


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
