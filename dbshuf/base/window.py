"""What the order stage hands to a sink: consecutive rows in their final order."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dbshuf.base.key import U64
from dbshuf.base.row_batch import arrow_numbers, row_bytes

Bounds = npt.NDArray[np.signedinteger[Any]]  # int32 or int64
Places = npt.NDArray[np.intp]


_LINE = pa.schema([("line", pa.binary())])
_LONG_LINE = pa.schema([("line", pa.large_binary())])


@dataclass(frozen=True)
class Window:
    """Consecutive rows of the output, typed rows or lines.

    batch     pyarrow RecordBatch, shape (rows,), of the schema that the plan promised; of lines
              one binary column, whose values end with their terminators
    keys      uint64, shape (rows,), ascending, also from one window to the next
    prefixes  uint64, shape (rows,): (prefix, key) ascends; None: the key alone does
    bounds    shape (rows + 1,), ascending: bounds[r + 1] - bounds[r] are the bytes of row r, as
              `row_batch.row_bytes` counts them; of lines also their places in the data buffer
    is_lines  which of the two
    row_sum     the checksum of the rows (row_checksum.py), where it was made already
    unnumbered  the same rows without the column of their places, where they have one
    """

    batch: pa.RecordBatch
    keys: U64
    bounds: Bounds
    is_lines: bool = False
    unnumbered: "Window | None" = None
    prefixes: U64 | None = None
    row_sum: int | None = None

    @classmethod
    def of_lines(cls, lines: pa.Array, keys: U64, prefixes: U64 | None = None) -> "Window":
        """Return a window of lines: a binary or large_binary array; nothing is copied."""
        is_long = pa.types.is_large_binary(lines.type)
        batch = pa.RecordBatch.from_arrays([lines], schema=_LONG_LINE if is_long else _LINE)
        offsets = lines.buffers()[1]
        if offsets is None:
            return cls(batch, keys, np.zeros(1, np.int32), is_lines=True, prefixes=prefixes)
        bounds: Bounds = np.frombuffer(offsets, np.int64 if is_long else np.int32)
        bounds = bounds[lines.offset :][: len(lines) + 1]
        return cls(batch, keys, bounds, is_lines=True, prefixes=prefixes)

    @classmethod
    def of_rows(cls, batch: pa.RecordBatch, keys: U64, prefixes: U64 | None = None) -> "Window":
        return cls(
            batch, keys, np.concatenate([[0], np.cumsum(row_bytes(batch))]), prefixes=prefixes
        )

    @property
    def lines(self) -> pa.Array:
        return self.batch.column(0)

    @property
    def rows(self) -> int:
        return len(self.keys)

    @property
    def text_bytes(self) -> int:
        return int(self.bounds[-1]) - int(self.bounds[0])

    @property
    def first_words(self) -> U64:
        """What ascends: of rows with prefixes these, with ties; else the keys."""
        return self.keys if self.prefixes is None else self.prefixes

    @property
    def counted_bounds(self) -> Bounds:
        """As cuts of the output count a row: a line's bytes; of a row one more, for its end.

        So a run of rows with the one column `line` has the cuts of a run of lines.
        """
        return self.bounds if self.is_lines else self.bounds + np.arange(self.rows + 1)

    def take(self, rows: Places) -> "Window":
        """Return the rows of these numbers, ascending; copied."""
        batch, keys = self.batch.take(arrow_numbers(rows)), self.keys.take(rows)
        prefixes = None if self.prefixes is None else self.prefixes.take(rows)
        if self.is_lines:
            return Window.of_lines(batch.column(0), keys, prefixes)
        sizes = np.diff(self.bounds).take(rows)
        bounds = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        return Window(batch, keys, bounds, prefixes=prefixes)

    def slice(self, first: int, last: int) -> "Window":
        """Return rows [first, last); nothing is copied."""
        if last - first == self.rows:
            return self
        return Window(
            self.batch.slice(first, last - first),
            self.keys[first:last],
            self.bounds[first : last + 1],
            self.is_lines,
            prefixes=None if self.prefixes is None else self.prefixes[first:last],
        )


def text_of(window: Window) -> memoryview:
    """Return the lines' bytes, terminators included, as one view; nothing is copied."""
    data = window.lines.buffers()[2]
    bounds = window.bounds
    return memoryview(b"" if data is None else data)[int(bounds[0]) : int(bounds[-1])]
