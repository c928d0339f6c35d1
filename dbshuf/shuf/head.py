"""The first K lines of the order of any input, in the memory of K lines.

A line is kept while its key is among the K smallest so far; so they are the lines, and the
order, that the whole input would begin with.
"""

import os

import numpy as np
import pyarrow as pa

from dbshuf.base.key import U64
from dbshuf.shuf.large import Lines, ends_in, keys_of, memory_limit, taken, text_of

_READ_BYTES = 4 << 20
_STEP_BYTES = 256 << 10  # that lines are looked for in at once: empty ones take 40 times that
_SPARE_ROWS = 1 << 14  # that are kept beyond K before all but K are dropped


class Head:
    """The K lines of the smallest keys.

    seen  lines that there were
    held_bytes  what is kept
    """

    def __init__(self, count: int, words: tuple[int, int]) -> None:
        self.seen = 0
        self.held_bytes = 0
        self._count, self._words = count, words
        self._keys: list[U64] = []
        self._lines: list[pa.Array] = []
        self._rows = 0
        self._bound: np.uint64 | None = None  # no line with a larger key is among them

    def add(self, lines: Lines, first_byte: int) -> None:
        """Take the next lines, which begin at a place of the input; they are copied."""
        self.seen += lines.rows
        keys = keys_of(lines.starts[:-1] + first_byte, self._words)
        rows = np.arange(lines.rows)
        if self._bound is not None:
            rows = np.flatnonzero(keys <= self._bound)
        if not rows.size:
            return
        self._keys.append(keys[rows])
        self._lines.append(lines.take(rows))
        self._rows += rows.size
        self.held_bytes += self._lines[-1].nbytes + 8 * rows.size
        if self._rows > 2 * self._count + _SPARE_ROWS:
            self._drop()

    def _drop(self) -> None:
        """Keep K lines of those that there are."""
        keys, lines = self._joined()
        if self._rows > self._count:
            best = np.argpartition(keys, self._count - 1)[: self._count]
            best.sort()
            keys, lines = keys[best], taken(lines, best)
        if len(keys) == self._count:
            self._bound = keys.max()
        self._keys, self._lines, self._rows = [keys], [lines], len(keys)
        self.held_bytes = lines.nbytes + keys.nbytes

    def _joined(self) -> tuple[U64, pa.Array]:
        return np.concatenate(self._keys), pa.concat_arrays(self._lines)

    def text(self) -> memoryview:
        """Return the lines in order, as one text."""
        if not self._keys:
            return memoryview(b"")
        self._drop()
        keys, lines = self._joined()
        return text_of(taken(lines, np.argsort(keys)))


def read_head(first: bytes, fd: int, terminator: bytes, head: Head) -> None:
    """Read a stream to its end, of which `first` was read already.

    Raises  OSError, MemoryError where the lines that are wanted take too much
    """
    most_bytes = memory_limit()
    buffer = np.empty(max(2 * len(first), 2 * _READ_BYTES) + 1, np.uint8)
    buffer[: len(first)] = np.frombuffer(first, np.uint8)
    filled, searched, place = len(first), 0, 0
    is_end = False
    while not is_end:
        if len(buffer) - 1 - filled < _READ_BYTES:
            buffer = np.concatenate([buffer, np.empty_like(buffer)])
        got = os.readv(fd, [buffer[filled : filled + _READ_BYTES].data])
        filled += got
        is_end = not got
        if is_end and filled and buffer[filled - 1] != terminator[0]:
            buffer[filled] = terminator[0]
            filled += 1
        used = 0
        for base in range(searched, filled, _STEP_BYTES):
            ends = ends_in(buffer, base, min(base + _STEP_BYTES, filled), terminator[0])
            if ends.size:
                starts = np.concatenate([np.array([used], np.int64), ends])
                head.add(Lines(buffer, starts), place)
                used = int(ends[-1])
        if head.held_bytes > most_bytes:
            raise MemoryError
        if used:
            place += used
            buffer[: filled - used] = buffer[used:filled].copy()
            filled -= used
        searched = filled
