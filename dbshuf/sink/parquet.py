"""Lines to a Parquet file of one column, `line`.

Row groups are cut by a rule on rows alone and gathered in buffers of their own, so a
file is the same, byte for byte, however the rows come in windows. While one group is
encoded by a thread, the next is gathered.
"""

import contextlib
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dbshuf.key import ORDER_VERSION
from dbshuf.order.window import Window
from dbshuf.sink.ahead import Beside
from dbshuf.sink.column import LineColumn, without_terminators
from dbshuf.sink.cuts import SizeCut, bounds_of, bytes_of
from dbshuf.sink.raw import ByteOutput
from dbshuf.sink.target import Target
from dbshuf.units import MIB

__all__ = ["LineColumn", "ParquetEncoder"]

# There are two groups in memory, gathered and encoded. 16 MiB (with terminators) is
# 114,000 lines of 147 bytes, near the 122,880 rows that DuckDB reads at a time.
ROW_GROUP_BYTES = 16 * MIB
ROW_GROUP_ROWS = 1 << 20

_STEP_BYTES = 1 * MIB  # gathered at a time; stays in the L2 cache between its passes

# Random order leaves nothing to prune and almost nothing to repeat. Statistics would cost
# up to 8 kB a group in the footer (6.1 at 3 kB lines, 0.07 without); a dictionary made no
# file smaller and took 0-25 % longer. Pages end after a batch, and 1,024 long lines would
# make one page of tens of MB: 64 cost 5 % at 9 bytes a line and nothing from 147 on
# (pyarrow 26.0.1, 128 MiB of text of 9, 147 and 24,000 bytes a line).
_OPTIONS = {
    "compression": "zstd",
    "compression_level": 1,
    "use_dictionary": False,
    "write_statistics": False,
    "write_batch_size": 64,
    "store_schema": False,
}


class ParquetEncoder:
    """One Parquet file. A line that is no UTF-8 is an error, unless the column is binary."""

    def __init__(self, output: ByteOutput, target: Target) -> None:
        assert not target.header, "a Parquet file has no header lines"
        self._output = output
        self._column = LineColumn(target)
        self._thread = Beside(depth=1)
        self._file = pq.ParquetWriter(self._thread, self._column.schema, **_OPTIONS)
        self._file.add_key_value_metadata(
            {"dbshuf.seed": target.seed, "dbshuf.order_version": str(ORDER_VERSION)}
        )
        self._cut = SizeCut(ROW_GROUP_BYTES, ROW_GROUP_ROWS)
        self._group, self._spare = _RowGroup(), _RowGroup()
        self._groups = 0

    def write(self, window: Window) -> None:
        bounds = bounds_of(window.lines)
        for group, first, last in self._cut.runs(bounds):
            if group > self._groups:
                self._encode_group()
                self._groups = group
            for _, begin, end in SizeCut(_STEP_BYTES, None).runs(bounds[first : last + 1]):
                lines = window.lines.slice(first + begin, end - begin)
                self._column.check(lines, window.keys[first + begin : first + end])
                self._group.add(lines)

    def finish(self) -> None:
        if self._group.rows:
            self._encode_group()
        self._put(self._thread.call(self._file.close))
        self._put(self._thread.rest())
        self._output.finish()

    def abort(self) -> None:
        with contextlib.suppress(Exception):
            self._thread.stop()
        self._output.abort()

    def _encode_group(self) -> None:
        """Hand the group to the thread; the spare one is free once the call before is done."""
        self._put(self._thread.call(self._encode, self._group))
        self._group, self._spare = self._spare, self._group
        self._group.clear()

    def _encode(self, group: "_RowGroup") -> None:
        column = group.column(self._column.type)
        table = pa.Table.from_arrays([column], schema=self._column.schema)
        self._file.write_table(table, row_group_size=group.rows)

    def _put(self, pages: Iterator[bytes]) -> None:
        for page in pages:
            self._output.write(page)


class _RowGroup:
    """The lines of one row group without their terminators, in buffers that are reused."""

    def __init__(self) -> None:
        self.rows = 0
        self._bytes = 0
        self._data = np.empty(ROW_GROUP_BYTES, np.uint8)
        self._bounds = np.zeros(ROW_GROUP_ROWS + 1, np.int32)

    def clear(self) -> None:
        self.rows = self._bytes = 0
        if len(self._data) > ROW_GROUP_BYTES:
            self._data = np.empty(ROW_GROUP_BYTES, np.uint8)

    def add(self, lines: pa.Array) -> None:
        """Append `lines` without their terminators."""
        if len(lines) == 1:  # it may be long: one copy is enough
            self._append(bytes_of(lines)[:-1])
            self._bounds[self.rows + 1] = self._bytes
        else:
            cut = without_terminators(lines)
            bounds = bounds_of(cut)
            ends = self._bounds[self.rows + 1 : self.rows + 1 + len(lines)]
            np.add(bounds[1:], self._bytes - int(bounds[0]), out=ends, casting="same_kind")
            self._append(bytes_of(cut))
        self.rows += len(lines)

    def _append(self, data: memoryview) -> None:
        start, self._bytes = self._bytes, self._bytes + len(data)
        if self._bytes > len(self._data):  # a line longer than a group, alone in it
            self._data = np.empty(self._bytes, np.uint8)
        self._data[start : self._bytes] = np.frombuffer(data, np.uint8)

    def column(self, kind: pa.DataType) -> pa.Array:
        """Return the rows as an array over these buffers."""
        bounds = pa.py_buffer(self._bounds[: self.rows + 1])
        return pa.Array.from_buffers(
            kind, self.rows, [None, bounds, pa.py_buffer(self._data[: self._bytes])]
        )
