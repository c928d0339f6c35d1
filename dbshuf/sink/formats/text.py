"""Lines as they are, and typed rows of one column as lines."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dbshuf.base.window import AnyWindow, RowWindow, Window, text_of
from dbshuf.errors import RowUnfit
from dbshuf.sink.cut_points import SizeCut, counted_bounds
from dbshuf.sink.formats.compression import packed
from dbshuf.sink.raw_file import ByteOutput
from dbshuf.sink.target import Target
from dbshuf.units import MIB

_STEP_BYTES = 1 * MIB  # of rows made lines at a time; stays in the L2 cache between its passes


class TextEncoder:
    """The text itself: one write for every window of lines, straight from its buffer."""

    def __init__(self, output: ByteOutput, target: Target) -> None:
        self._output = packed(output, target)
        self._target = target
        self._header = target.header

    def write(self, window: AnyWindow) -> None:
        self._write_header()
        if isinstance(window, Window):
            self._output.write(text_of(window))
            return
        for lines in self._as_lines(window):
            self._output.write(text_of(lines))

    def flush(self) -> int:
        return self._output.flush() + len(self._header)

    def finish(self) -> None:
        self._write_header()
        self._output.finish()

    def abort(self) -> None:
        self._output.abort()

    def _write_header(self) -> None:
        """With the first rows and no earlier: a run that fails leaves a pipe empty."""
        if self._header:
            self._output.write(self._header)
            self._header = b""

    def _as_lines(self, window: RowWindow) -> Iterator[Window]:
        """Yield the rows, each value with a terminator behind it. Raises RowUnfit."""
        for _, first, last in SizeCut(_STEP_BYTES, None).runs(counted_bounds(window)):
            rows = window.slice(first, last)
            nulls = rows.batch.column(0).is_null()
            null = pc.index(nulls, True).as_py() if rows.batch.column(0).null_count else -1
            sound = rows if null < 0 else rows.slice(0, null)
            lines = self._lines(sound)
            if null >= 0:
                raise self._no_line(rows, null)
            yield lines

    def _lines(self, rows: RowWindow) -> Window:
        """The rows, of which none is NULL. Raises RowUnfit for a terminator in a value."""
        lines = _terminated(rows.batch.column(0), self._target.terminator)
        made = Window(lines, rows.keys, rows.text_bytes + rows.rows)
        is_end = np.frombuffer(text_of(made), np.uint8) == self._mark
        if np.count_nonzero(is_end) != rows.rows:
            ends = np.flatnonzero(is_end)
            bounds = made.bounds - made.bounds[0]
            row = int(np.argmax(ends[: rows.rows] != bounds[1:] - 1))
            raise self._two_lines(rows, row)
        return made

    @property
    def _mark(self) -> int:
        return self._target.terminator[0]

    def _no_line(self, rows: RowWindow, row: int) -> RowUnfit:
        name = rows.batch.schema.names[0]
        return RowUnfit(
            f"{self._target.locate(int(rows.keys[row]))}: `{name}` is NULL, and no line is",
            hint=f'--select "coalesce({name}, \'\')", or --where "{name} is not null"',
        )

    def _two_lines(self, rows: RowWindow, row: int) -> RowUnfit:
        name = rows.batch.schema.names[0]
        mark, code, way = ("NUL", 0, "") if self._mark == 0 else ("line end", 10, "use -z, ")
        return RowUnfit(
            f"{self._target.locate(int(rows.keys[row]))}: `{name}` holds a {mark}, which would"
            " make it two lines",
            hint=f"--select \"replace({name}, chr({code}), ' ')\", {way}or write Parquet",
        )


def _terminated(values: pa.Array, terminator: bytes) -> pa.Array:
    """Return every value with `terminator` behind it, large_binary: 2 GiB are no limit."""
    kind = pa.large_binary()
    nothing, end = pa.scalar(b"", kind), pa.scalar(terminator, kind)
    return pc.binary_join_element_wise(values.cast(kind), nothing, end)
