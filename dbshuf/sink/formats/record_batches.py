"""Windows of either kind as record batches of the columns that the output has."""

import bisect
from collections.abc import Callable
from typing import Any, Protocol

import pyarrow as pa

from dbshuf.base.window import RowWindow
from dbshuf.errors import NotUtf8
from dbshuf.sink.formats.line_column import LineColumn
from dbshuf.sink.target import Target


class Records(Protocol):
    """What makes batches: of a Window for lines, of a RowWindow for typed rows; in any thread."""

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


class TypedRows:
    """Typed rows, checked once: Arrow takes any bytes for text, other readers do not."""

    def __init__(self, target: Target) -> None:
        assert target.schema is not None
        self.schema = target.schema
        self._locate = target.locate
        self._texts = [i for i, field in enumerate(self.schema) if _holds_text(field.type)]

    def check(self, window: RowWindow) -> None:
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

    def batch(self, window: RowWindow) -> pa.RecordBatch:
        """Return the rows; nothing is copied."""
        return pa.RecordBatch.from_arrays(window.batch.columns, schema=self.schema)


def first_bad(rows: int, is_bad: Callable[[int], bool]) -> int:
    """Return the first bad row: the least r so that the first r + 1 rows are bad."""
    return bisect.bisect_left(range(rows - 1), True, key=lambda row: is_bad(row + 1))


def _holds_text(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return _holds_text(kind.storage_type)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return True
    return any(_holds_text(kind.field(i).type) for i in range(kind.num_fields))


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
