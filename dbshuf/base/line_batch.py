"""Lines as they were read: a buffer, where each line ends, and each line's id."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dbshuf.base.block_io import U8
from dbshuf.base.key import POSITION_BITS, U64

I32 = npt.NDArray[np.int32]

SCAN_BYTES = 256 << 10  # the terminator mask of one step stays in the L2 cache


@dataclass(frozen=True)
class LineBatch:
    """Complete lines, or some of them, valid until the worker that owns the buffer reads on.

    buffer    uint8; the lines lie in it one after the other
    offsets   int32, shape (rows + 1,): line r is buffer[offsets[r]:offsets[r + 1]],
              its terminator included
    origins   (first row, id of the byte buffer[0] for these rows), one an input
    kept      int64, ascending: the rows that are left of these lines; None: all
    given     uint64, shape (rows,): the ids, of lines that did not lie side by side; None:
              `origins` tells them
    prefixes  uint64, shape (rows that are left,): the first word of each one's place in the
              order, before its key; None: the key is all
    """

    buffer: U8
    offsets: I32
    origins: tuple[tuple[int, int], ...]
    kept: npt.NDArray[np.int64] | None = None
    given: U64 | None = None
    prefixes: U64 | None = None

    @property
    def rows(self) -> int:
        """Number of lines, kept or not; so for what follows."""
        return len(self.offsets) - 1

    @property
    def text_bytes(self) -> int:
        """Bytes of the lines, terminators included."""
        return int(self.offsets[-1]) - int(self.offsets[0])

    def ids(self) -> U64:
        """Return the lines' row ids: uint64, shape (rows,), fresh."""
        if self.given is not None:
            return self.given.copy()
        ids = self.offsets[:-1].astype(np.uint64)
        ends = [first for first, _ in self.origins[1:]] + [self.rows]
        for (first, origin), end in zip(self.origins, ends, strict=True):
            ids[first:end] += np.uint64(origin % (1 << 64))
        return ids

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """The ranges of ids [begin, end) that the lines are, kept or not."""
        ends = [first for first, _ in self.origins[1:]] + [self.rows]
        places = zip(self.origins, ends, strict=True)
        return tuple(
            (origin + int(self.offsets[first]), origin + int(self.offsets[end]))
            for (first, origin), end in places
            if first < end
        )

    def slice(self, first: int, last: int) -> "LineBatch":
        """Return lines [first, last), kept or not, over the same buffer."""
        begun = [(0, origin) for at, origin in self.origins if at <= first][-1:]
        later = ((at - first, origin) for at, origin in self.origins if first < at < last)
        kept, given = self.kept, self.given
        if kept is not None:
            kept = kept[np.searchsorted(kept, first) : np.searchsorted(kept, last)] - first
        return LineBatch(
            self.buffer,
            self.offsets[first : last + 1],
            (*begun, *later),
            kept,
            None if given is None else given[first:last],
        )

    def lines(self) -> pa.Array:
        """Return the lines as an Arrow binary array over the same buffer."""
        return pa.Array.from_buffers(
            pa.binary(), self.rows, [None, pa.py_buffer(self.offsets), pa.py_buffer(self.buffer)]
        )


def origin_of(ordinal: int, position: int, buffer_offset: int) -> int:
    """Return the id of buffer[0] where `position` of an input lies at `buffer_offset`."""
    return (ordinal << POSITION_BITS) + position - buffer_offset


class Arena:
    """The memory of one worker that reads lines; allocated once, used for every batch."""

    def __init__(self, buffer: U8, rows: int) -> None:
        self.buffer = buffer
        self.offsets = np.empty(rows + 1, np.int32)
        self._mask = np.empty(SCAN_BYTES, np.bool_)

    def split(self, begin: int, end: int, terminator: int) -> tuple[I32, int]:
        """Find the lines of buffer[begin:end], which ends with a terminator.

        Returns  offsets of as many lines as the arena holds rows, and where they stop
        """
        room, found = len(self.offsets) - 1, 0
        self.offsets[0] = begin
        for base in range(begin, end, SCAN_BYTES):
            block = self.buffer[base : min(base + SCAN_BYTES, end)]
            mask = self._mask[: len(block)]
            np.equal(block, terminator, out=mask)
            ends = np.flatnonzero(mask)[: room - found]
            np.add(
                ends,
                base + 1,
                out=self.offsets[found + 1 : found + 1 + len(ends)],
                casting="unsafe",
            )
            found += len(ends)
            if found == room:
                break
        return self.offsets[: found + 1], int(self.offsets[found])

    def first_terminator(self, begin: int, end: int, terminator: bytes) -> int:
        """Return the place of the first terminator in buffer[begin:end], or -1."""
        for base in range(begin, end, SCAN_BYTES):
            place = self.buffer[base : min(base + SCAN_BYTES, end)].tobytes().find(terminator)
            if place >= 0:
                return base + place
        return -1

    def last_terminator(self, begin: int, end: int, terminator: bytes) -> int:
        """Return the place of the last terminator in buffer[begin:end], or -1."""
        while end > begin:
            base = max(begin, end - SCAN_BYTES)
            place = self.buffer[base:end].tobytes().rfind(terminator)
            if place >= 0:
                return base + place
            end = base
        return -1
