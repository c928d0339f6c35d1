"""What the order stage hands to a sink: consecutive rows in their final order."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dbshuf.base.key import U64
from dbshuf.base.rows import arrow_numbers

Bounds = npt.NDArray[np.signedinteger[Any]]  # int32 or int64
Places = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Window:
    """Consecutive lines of the output.

    lines       pyarrow binary array, shape (rows,); every value ends with its terminator
    keys        uint64, shape (rows,), ascending, also from one window to the next
    text_bytes  sum of the values' lengths
    """

    lines: pa.Array
    keys: U64
    text_bytes: int

    @property
    def rows(self) -> int:
        """Number of lines."""
        return len(self.keys)

    @property
    def bounds(self) -> Bounds:
        """The lines' places in their data buffer, shape (rows + 1,); nothing is copied."""
        offsets = self.lines.buffers()[1]
        if offsets is None:
            return np.zeros(1, np.int32)
        wide = pa.types.is_large_binary(self.lines.type)
        bounds: Bounds = np.frombuffer(offsets, np.int64 if wide else np.int32)
        return bounds[self.lines.offset : self.lines.offset + len(self.lines) + 1]

    @property
    def counted_bounds(self) -> Bounds:
        """The same, as cuts of the output count a row: its bytes and one for its terminator."""
        return self.bounds

    def take(self, rows: Places) -> "Window":
        """Return the rows of these numbers, ascending; copied."""
        sizes = np.diff(self.bounds).take(rows)
        lines = self.lines.take(arrow_numbers(rows))
        return Window(lines, self.keys.take(rows), int(sizes.sum(dtype=np.int64)))

    def slice(self, first: int, last: int) -> "Window":
        """Return rows [first, last); nothing is copied."""
        bounds = self.bounds
        size = int(bounds[last]) - int(bounds[first])
        return Window(self.lines.slice(first, last - first), self.keys[first:last], size)


@dataclass(frozen=True)
class RowWindow:
    """Consecutive typed rows of the output.

    batch   pyarrow RecordBatch, shape (rows,), of the schema that the plan promised
    keys    uint64, shape (rows,), ascending, also from one window to the next
    bounds  int64, shape (rows + 1,), ascending: bounds[r + 1] - bounds[r] are the bytes
            of row r, as `rows.row_bytes` counts them
    """

    batch: pa.RecordBatch
    keys: U64
    bounds: Bounds

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.keys)

    @property
    def text_bytes(self) -> int:
        """Bytes of all rows."""
        return int(self.bounds[-1]) - int(self.bounds[0])

    @property
    def counted_bounds(self) -> Bounds:
        """As those of lines: a run of rows with the one column `line` has the same cuts."""
        return self.bounds + np.arange(self.rows + 1)

    def take(self, rows: Places) -> "RowWindow":
        """Return the rows of these numbers, ascending; copied."""
        sizes = np.diff(self.bounds).take(rows)
        bounds = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        return RowWindow(self.batch.take(arrow_numbers(rows)), self.keys.take(rows), bounds)

    def slice(self, first: int, last: int) -> "RowWindow":
        """Return rows [first, last); nothing is copied."""
        return RowWindow(
            self.batch.slice(first, last - first),
            self.keys[first:last],
            self.bounds[first : last + 1],
        )


AnyWindow = Window | RowWindow


def text_of(window: Window) -> memoryview:
    """Return the lines' bytes, terminators included, as one view; nothing is copied."""
    data = window.lines.buffers()[2]
    bounds = window.bounds
    return memoryview(b"" if data is None else data)[int(bounds[0]) : int(bounds[-1])]
