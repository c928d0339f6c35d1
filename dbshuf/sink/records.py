"""Windows of either kind as record batches of the columns that the output has."""

import bisect
from collections.abc import Callable
from typing import Any, Protocol

import pyarrow as pa

from dbshuf.errors import NotUtf8, RowUnfit
from dbshuf.order.window import RowWindow
from dbshuf.sink.column import LineColumn
from dbshuf.sink.target import Target


class Records(Protocol):
    """What makes batches: of a Window for lines, of a RowWindow for typed rows.

    owned   whether the batches have memory of their own, not a window's
    """

    owned: bool

    @property
    def schema(self) -> pa.Schema:
        """The columns of every batch."""

    def check(self, window: Any) -> None:
        """Look at a whole window, before its slices go through `batch`; may raise."""

    def batch(self, window: Any) -> pa.RecordBatch:
        """Return the rows of a slice of a window; may raise."""


def records_of(target: Target) -> Records:
    """Return what makes batches for the target: of lines, or of typed rows."""
    return LineColumn(target) if target.schema is None else TypedRows(target)


def arrays_in(schema: pa.Schema) -> int:
    """Return how many arrays a batch is made of: columns, and what nested ones hold."""
    return sum(_arrays(field.type) for field in schema)


def _arrays(kind: pa.DataType) -> int:
    if isinstance(kind, pa.BaseExtensionType):
        return _arrays(kind.storage_type)
    return 1 + sum(_arrays(kind.field(i).type) for i in range(kind.num_fields))


class TypedRows:
    """Typed rows, checked once: Arrow takes any bytes for text, other readers do not."""

    owned = False

    def __init__(self, target: Target) -> None:
        self.schema = target.schema
        self._locate = target.locate

    def check(self, window: RowWindow) -> None:
        """Raise NotUtf8 or RowUnfit unless all values are what their types say.

        Whole windows, because every slice of a list column checks all of its values.
        """
        batch = window.batch
        if _flaw(batch) is None or _flaw(_copy(batch, window.rows)) is None:
            return  # the values of a list column may be those of other windows too
        row = first_bad(window.rows, lambda rows: _flaw(_copy(batch, rows)) is not None)
        where = self._locate(int(window.keys[row]))
        bad = next(
            (name, flaw)
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
            if (flaw := _flaw(column)) is not None
        )
        if "utf8" in bad[1].lower():
            raise NotUtf8(f"{where}: `{bad[0]}` is no UTF-8", hint="take it as BLOB with --select")
        raise RowUnfit(f"{where}: `{bad[0]}`: {bad[1]}")

    def batch(self, window: RowWindow) -> pa.RecordBatch:
        """Return the rows; nothing is copied."""
        return pa.RecordBatch.from_arrays(window.batch.columns, schema=self.schema)


def first_bad(rows: int, is_bad: Callable[[int], bool]) -> int:
    """Return the first bad row: the least r so that the first r + 1 rows are bad."""
    return bisect.bisect_left(range(rows - 1), True, key=lambda row: is_bad(row + 1))


def _copy(batch: pa.RecordBatch, rows: int) -> pa.RecordBatch:
    """The first rows in buffers that hold no other rows."""
    return pa.concat_batches([batch.slice(0, rows)])


def _flaw(values: pa.Array | pa.RecordBatch) -> str | None:
    try:
        values.validate(full=True)
    except pa.ArrowInvalid as error:
        return str(error)
    return None
