"""Lines as they are, and rows as text of one row after the other, on several threads.

A row's text depends on the row alone, so where a step of rows ends does not show.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dbshuf.base.key import U64
from dbshuf.base.nested_types import text_bounds
from dbshuf.base.window import Window, text_of
from dbshuf.errors import RowUnfit
from dbshuf.sink.begun_file import Position
from dbshuf.sink.cut_points import SizeCut
from dbshuf.sink.encoder_threads import Encoded, EncoderThreads
from dbshuf.sink.formats.compression import TextStream
from dbshuf.sink.formats.record_batches import arrays_in, first_bad, records_of
from dbshuf.sink.memory import stepping_threads
from dbshuf.sink.raw_file import WithHead
from dbshuf.sink.target import Target
from dbshuf.units import KIB, MIB

# One step: a value of 8 bytes may become 24 of text, and a name stands beside it in JSON.
_STEP_BYTES = 512 * KIB
_STEP_VALUES = 1 << 16
_LONG_STEP_BYTES = 1 * MIB  # of one text
_ALONE_BYTES = 1 * MIB  # a longer row is held several times, so by one thread at a time


class ValueUnfit(Exception):
    """A value of the rows has no such text; `{name}` in what is said stands for its column."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


TEXT = pa.large_string()  # every text here: 2 GiB are no limit
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
        raise ValueUnfit("`{name}`: infinity, or a time that no calendar has", FINITE)


def scalar(text: str) -> pa.Scalar:
    return pa.scalar(text, TEXT)


def bytes_of(texts: pa.Array) -> memoryview:
    """The bytes of the texts, one after the other, also what is behind nulls."""
    data, bounds = text_bounds(texts)
    return data.data[int(bounds[0]) : int(bounds[-1])]


def text_steps(text: pa.Array) -> Iterator[pa.Array]:
    """Yield the one text of an array in pieces, large_string; nothing is copied.

    A piece may begin or end within a character.
    """
    first, last = text_bounds(text)[1].tolist()
    for begin in range(first, last, _LONG_STEP_BYTES):
        bounds = pa.py_buffer(np.array([begin, min(begin + _LONG_STEP_BYTES, last)], np.int64))
        yield pa.Array.from_buffers(TEXT, 1, [None, bounds, text.buffers()[2]])


class RowTextEncoder:
    """One file of text, compressed as the target says.

    encode       rows -> their text; may raise ValueUnfit
    encode_long  one row -> pieces of the same text, so that a long one need not be copied;
                 None: the format has no such pieces
    head         at the head of the file
    """

    def __init__(
        self,
        stream: TextStream,
        target: Target,
        encode: Callable[[pa.RecordBatch], Encoded],
        head: bytes = b"",
        encode_long: Callable[[pa.RecordBatch], Iterator[Encoded]] | None = None,
    ) -> None:
        threads = stepping_threads(target)
        self._stream, self._output = stream, WithHead(stream, head)
        self._locate = target.locate
        self._records = records_of(target)
        self._encode, self._encode_long = encode, encode_long
        self._step_rows = max(_STEP_VALUES // arrays_in(self._records.schema), 1)
        self._threads = EncoderThreads[Encoded](threads, depth=threads, write=self._output.write)

    def write(self, window: Window) -> None:
        self._records.check(window)
        bounds = window.counted_bounds
        for _, first, last in SizeCut(_STEP_BYTES, self._step_rows).runs(bounds):
            is_long = bounds[last] - bounds[first] > _ALONE_BYTES
            if is_long and last == first + 1 and self._encode_long is not None:
                self._write_long(self._encode_long, window.slice(first, last))
                continue
            call = self._threads.call_alone if is_long else self._threads.call
            call(self._step, window.slice(first, last))

    def _write_long(
        self, encode: Callable[[pa.RecordBatch], Iterator[Encoded]], window: Window
    ) -> None:
        self._threads.drain()
        rows = self._records.batch(window)
        try:
            for piece in encode(rows):
                self._output.write(piece)
        except ValueUnfit as unfit:
            raise self._row_unfit(rows, window.keys) from unfit

    def flush(self) -> int:
        self._threads.drain()
        return self._output.flush()

    def position(self) -> Position:
        self._threads.drain()
        return self._stream.position()

    def finish(self) -> None:
        self._threads.finish()
        self._output.finish()

    def abort(self) -> None:
        self._threads.abort()
        self._output.abort()

    def _step(self, window: Window) -> Encoded:
        rows = self._records.batch(window)
        try:
            return self._encode(rows)
        except ValueUnfit as unfit:
            raise self._row_unfit(rows, window.keys) from unfit

    def _row_unfit(self, rows: pa.RecordBatch, keys: U64) -> RowUnfit:
        """The error for the first value, row by row and then column by column."""
        row = first_bad(len(rows), lambda count: self._flaw_in(rows.slice(0, count)) is not None)
        one = rows.slice(row, 1)
        columns = (one.select([place]) for place in range(one.num_columns))
        flaws = ((column.schema.names[0], self._flaw_in(column)) for column in columns)
        name, unfit = next((name, flaw) for name, flaw in flaws if flaw is not None)
        where = self._locate(int(keys[row]))
        return RowUnfit(
            f"{where}: {unfit.message.format(name=name)}", hint=unfit.hint.format(name=name)
        )

    def _flaw_in(self, rows: pa.RecordBatch) -> ValueUnfit | None:
        try:
            self._encode(rows)
        except ValueUnfit as unfit:
            return unfit
        return None


class LineEncoder:
    """Lines: one write for every window, straight from its buffer."""

    def __init__(self, stream: TextStream, target: Target) -> None:
        self._output = WithHead(stream, target.header)
        self.position: Callable[[], Position] = stream.position
        self.flush, self.finish = self._output.flush, self._output.finish
        self.abort = self._output.abort

    def write(self, window: Any) -> None:
        self._output.write(text_of(window))


def as_lines(rows: pa.RecordBatch, terminator: bytes) -> memoryview:
    """Return the values of the one column, each with a terminator behind it.

    Raises   ValueUnfit for NULL, and for a terminator in a value
    """
    values, kind = rows.column(0), pa.large_binary()  # 2 GiB are no limit
    if values.null_count:
        hint = """--select "coalesce({name}, '')", or --where "{name} is not null\""""
        raise ValueUnfit("`{name}` is NULL, and no line is", hint)
    nothing, end = pa.scalar(b"", kind), pa.scalar(terminator, kind)
    text = bytes_of(pc.binary_join_element_wise(values.cast(kind), nothing, end))
    ends = np.count_nonzero(np.frombuffer(text, np.uint8) == terminator[0])
    if ends != len(values):
        is_nul = terminator == b"\0"
        mark, code, way = ("NUL", 0, "") if is_nul else ("line end", 10, "use -z, ")
        raise ValueUnfit(
            f"`{{name}}` holds a {mark}, which would make it two lines",
            f"--select \"replace({{name}}, chr({code}), ' ')\", {way}or write Parquet",
        )
    return text
