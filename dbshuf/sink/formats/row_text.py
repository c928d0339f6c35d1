"""Rows as text of one row after the other: a step of rows a call, on several threads.

A row's text depends on the row alone, so where a step ends does not show.
"""

import contextlib
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dbshuf.base.window import AnyWindow
from dbshuf.errors import RowUnfit
from dbshuf.sink.cut_points import SizeCut, counted_bounds
from dbshuf.sink.encoder_threads import Ahead, Made
from dbshuf.sink.formats.record_batches import Records, arrays_in, first_bad
from dbshuf.sink.raw_file import ByteOutput
from dbshuf.sink.target import Target, stepping_threads
from dbshuf.units import KIB, MIB

# One step: a value of 8 bytes may become 24 of text, and a name stands beside it in JSON.
_STEP_BYTES = 512 * KIB
_STEP_VALUES = 1 << 16
_ALONE_BYTES = 1 * MIB  # a longer row is held several times, so by one thread at a time


class ValueUnfit(Exception):
    """A value of the rows has no such text; the hint may say `{name}` for its column."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


FINITE = "--select with case when isfinite({name}) then {name} end, or write Parquet"

_UNITS_A_DAY = {unit: 86_400 * 1000**power for power, unit in enumerate(["s", "ms", "us", "ns"])}
_FIRST_DAY, _LAST_DAY = (
    int(np.datetime64(day).astype(int)) for day in ("-32767-01-01", "32767-12-31")
)


def check_calendar(values: pa.Array) -> None:
    """Raise ValueUnfit for a date, time or moment that Arrow has no text for.

    It would write `<value out of range>`. DuckDB's infinity is the last number of all.
    """
    kind = values.type
    if pa.types.is_date32(kind):
        first, last = _FIRST_DAY, _LAST_DAY
    elif pa.types.is_date64(kind):
        first, last = (day * _UNITS_A_DAY["ms"] for day in (_FIRST_DAY, _LAST_DAY))
    elif pa.types.is_timestamp(kind) and kind.unit != "ns":
        first, last = (day * _UNITS_A_DAY[kind.unit] for day in (_FIRST_DAY, _LAST_DAY))
    elif pa.types.is_time(kind):
        first, last = 0, _UNITS_A_DAY[kind.unit] - 1
    else:
        return
    numbers = values.view(pa.int32() if kind.bit_width == 32 else pa.int64())
    found = pc.min_max(numbers).as_py()
    if found["min"] is not None and not first <= found["min"] <= found["max"] <= last:
        raise ValueUnfit("infinity, or a time that no calendar has", FINITE)


class Stepwise:
    """One file.

    encode  rows -> their text; may raise ValueUnfit
    head    at the head of the file
    """

    def __init__(
        self,
        output: ByteOutput,
        target: Target,
        records: Records,
        *,
        encode: Callable[[pa.RecordBatch], Made],
        head: Made = b"",
    ) -> None:
        threads = stepping_threads(target)
        self._output = output
        self._target = target
        self._records = records
        self._encode = encode
        self._head = head
        self._step_rows = max(_STEP_VALUES // arrays_in(records.schema), 1)
        self._ahead = Ahead[Made](threads, depth=threads)

    def write(self, window: AnyWindow) -> None:
        self._records.check(window)
        bounds = counted_bounds(window)
        for _, first, last in SizeCut(_STEP_BYTES, self._step_rows).runs(bounds):
            is_long = bounds[last] - bounds[first] > _ALONE_BYTES
            if is_long:
                self._put(self._ahead.drain())
            self._put(self._ahead.call(self._step, window.slice(first, last)))
            if is_long:
                self._put(self._ahead.drain())

    def flush(self) -> int:
        self._put(self._ahead.drain())
        return self._output.flush() + len(self._head)

    def finish(self) -> None:
        self._put(self._ahead.rest())
        self._write_head()
        self._output.finish()

    def abort(self) -> None:
        with contextlib.suppress(Exception):
            self._ahead.stop()
        self._output.abort()

    def _step(self, window: AnyWindow) -> Made:
        rows = self._records.batch(window)
        try:
            return self._encode(rows)
        except ValueUnfit as unfit:
            row = first_bad(len(rows), lambda count: self._is_unfit(rows.slice(0, count)))
            one = rows.slice(row, 1)
            name = next(name for name in one.schema.names if self._is_unfit(one.select([name])))
            where = self._target.locate(int(window.keys[row]))
            message = f"{where}: `{name}`: {unfit.message}"
            raise RowUnfit(message, hint=unfit.hint.format(name=name)) from unfit

    def _is_unfit(self, rows: pa.RecordBatch) -> bool:
        try:
            self._encode(rows)
        except ValueUnfit:
            return True
        return False

    def _put(self, texts: Iterator[Made]) -> None:
        for text in texts:
            self._write_head()
            self._output.write(text)

    def _write_head(self) -> None:
        """With the first rows and no earlier: a run that fails leaves a pipe empty."""
        if self._head:
            self._output.write(self._head)
            self._head = b""
