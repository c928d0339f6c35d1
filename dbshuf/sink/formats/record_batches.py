"""Windows of either kind as record batches of the columns that the output has."""

import bisect
import codecs
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dbshuf.base.nested_types import is_string, types_within
from dbshuf.base.window import Window, text_of
from dbshuf.errors import LineTooLong, NotUtf8
from dbshuf.sink.target import Target
from dbshuf.units import MIB, human

_LONGEST_VALUE_BYTES = 2**31 - 1  # offsets of an Arrow string, and of most Parquet readers
_DECODE_BYTES = 1 * MIB


class Records(Protocol):
    """What makes batches: of a window; in any thread."""

    @property
    def schema(self) -> pa.Schema:
        """The columns of every batch."""

    def check(self, window: Any) -> None:
        """Look at a window, before slices of it go through `batch`; may raise."""

    def batch(self, window: Any) -> pa.RecordBatch:
        """Return the rows of a slice of a window; may raise."""


def records_of(target: Target) -> Records:
    """Return what makes batches for the target: of lines, or of typed rows."""
    return LineColumn(target) if target.schema is None else TypedRows(target)


def arrays_in(schema: pa.Schema) -> int:
    """Return how many arrays a batch is made of: columns, and what nested ones hold."""
    return max(sum(_arrays(field.type) for field in schema), 1)


def _arrays(kind: pa.DataType) -> int:
    if isinstance(kind, pa.BaseExtensionType):
        return _arrays(kind.storage_type)
    return 1 + sum(_arrays(kind.field(i).type) for i in range(kind.num_fields))


class LineColumn:
    """Lines as the column that a target asks for, checked, without their terminators.

    It is VARCHAR, UTF-8 and nothing else, or BLOB.

    schema   one field, `line`: string, or binary
    """

    def __init__(self, target: Target) -> None:
        self.schema = pa.schema([("line", pa.binary() if target.binary else pa.string())])
        self._checked = not target.binary
        self._locate = target.locate
        self._hint = "--binary makes the column BLOB and takes any bytes; text output does too"
        if target.format.startswith(("csv", "tsv", "jsonl")):
            self._hint = "text output takes any bytes, and Parquet does with --binary"

    @property
    def type(self) -> pa.DataType:
        return self.schema.field(0).type

    def check(self, window: Window) -> None:
        """Nothing: `batch` checks what it is about to copy, while it is in the cache."""

    def batch(self, window: Window) -> pa.RecordBatch:
        """Return the window's rows, copied. Raises NotUtf8, LineTooLong."""
        text = text_of(window)
        if self._checked and not _is_text(text):
            raise self._not_utf8(window, text)
        if len(text) > _LONGEST_VALUE_BYTES:
            self._check_lengths(window)
        lines = without_terminators(window.lines).cast(pa.binary()).view(self.type)
        return pa.RecordBatch.from_arrays([lines], schema=self.schema)

    def _check_lengths(self, window: Window) -> None:
        lengths = np.diff(window.bounds)
        row = int(lengths.argmax())
        if lengths[row] > _LONGEST_VALUE_BYTES:
            raise LineTooLong(
                f"{self._locate(int(window.keys[row]))}: a line of {human(int(lengths[row]))}, and"
                f" a value of the column holds {human(_LONGEST_VALUE_BYTES)}",
                hint="write text instead",
            )

    def _not_utf8(self, window: Window, text: memoryview) -> NotUtf8:
        """The error for the first bad line."""
        bounds = window.bounds
        at = _first_bad_byte(text) + int(bounds[0])
        row = int(np.searchsorted(bounds, at, "right")) - 1
        where = self._locate(int(window.keys[row]))
        return NotUtf8(
            f"{where}: byte {at - int(bounds[row])} of the line is no UTF-8",
            hint=self._hint,
        )


class TypedRows:
    """Typed rows, checked once: Arrow takes any bytes for text, other readers do not."""

    def __init__(self, target: Target) -> None:
        assert target.schema is not None
        self.schema = target.schema
        self._locate = target.locate
        takes_any_bytes = target.format.startswith("txt") or target.holds_json
        columns = () if takes_any_bytes else enumerate(self.schema)
        self._texts = [number for number, field in columns if _holds_text(field.type)]

    def check(self, window: Window) -> None:
        """Raise NotUtf8 unless all text is UTF-8."""
        for number in self._texts:
            column = window.batch.column(number)
            if not _is_utf8(column):
                row = _first_not_utf8(column)
                name = self.schema.names[number]
                raise NotUtf8(
                    f"{self._locate(int(window.keys[row]))}: `{name}` is no UTF-8",
                    hint="take it as BLOB with --select",
                )

    def batch(self, window: Window) -> pa.RecordBatch:
        """Return the rows; nothing is copied."""
        return pa.RecordBatch.from_arrays(window.batch.columns, schema=self.schema)


def first_bad(rows: int, is_bad: Callable[[int], bool]) -> int:
    """Return the first bad row: the least r so that the first r + 1 rows are bad."""
    return bisect.bisect_left(range(rows - 1), True, key=lambda row: is_bad(row + 1))


def _holds_text(kind: pa.DataType) -> bool:
    return is_string(kind) or any(map(_holds_text, types_within(kind)))


def _is_utf8(column: pa.Array) -> bool:
    """Whether what is text in a column is UTF-8; other flaws are for the format to refuse."""
    if pa.types.is_nested(column.type):  # a slice still holds the values of other rows
        column = pa.concat_arrays([column])
    try:
        column.validate(full=True)
    except pa.ArrowInvalid as error:
        return "utf8" not in str(error).lower()
    return True


def _first_not_utf8(column: pa.Array) -> int:
    return first_bad(len(column), lambda rows: not _is_utf8(column[:rows]))


def without_terminators(lines: pa.Array) -> pa.Array:
    """Return every value without its last byte, in new buffers.

    15 ns a row at 147 bytes, 11 at 9. Keeping the even values of an array that has lines
    and terminators in turn costs 22 and 12; deleting the terminators with a numpy mask
    98 and 20 (pyarrow 26.0.1).
    """
    return pc.binary_slice(lines, 0, -1)


def _is_text(text: memoryview) -> bool:
    """Whether `text` is UTF-8, hence each of its lines: a terminator splits no character.

    As one value of an array: 25 GB/s of ASCII and 3 of Cyrillic; line by line 6.6.
    """
    bounds = pa.py_buffer(np.array([0, len(text)], np.int64))
    value = pa.Array.from_buffers(pa.large_string(), 1, [None, bounds, pa.py_buffer(text)])
    try:
        value.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _first_bad_byte(text: memoryview) -> int:
    """Return where `text` stops being UTF-8 (it does), without decoding it as a whole."""
    done = 0
    while True:
        piece = text[done : done + _DECODE_BYTES]
        try:
            done += codecs.utf_8_decode(piece, "strict", done + len(piece) == len(text))[1]
        except UnicodeDecodeError as error:
            return done + error.start
