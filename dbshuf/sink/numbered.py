"""--number: a column with each row's place in the new order."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dbshuf.base.row_batch import arrow_numbers
from dbshuf.base.window import Window
from dbshuf.errors import UsageError
from dbshuf.sink.output_format import NAMES
from dbshuf.sink.target import SideOutput, Target

if TYPE_CHECKING:
    import pyarrow as pa


def numbered_schema(schema: "pa.Schema", name: str) -> "pa.Schema":
    """Return columns with that of the places behind them. Raises UsageError if it is there."""
    import pyarrow as pa

    if name == "" or name.lower() in {one.lower() for one in schema.names}:
        what = "the name is empty" if name == "" else f"the rows have a column `{name}` already"
        raise UsageError(f"--number: {what}", hint="choose another name")
    return schema.append(pa.field(name, pa.int64()))


def line_schema(*, binary: bool) -> "pa.Schema":
    """Return the columns of lines where they are to be numbered."""
    import pyarrow as pa

    return pa.schema([("line", pa.binary() if binary else pa.string())])


def check_numbered(kind: str) -> None:
    """Raise UsageError for a format that has no columns."""
    if kind == "txt":
        raise UsageError(
            f"--number adds a column, and {NAMES[kind]} has none",
            hint="write Parquet, Arrow, CSV or JSON lines: --format csv, or -o out.parquet",
        )


def numbered_sides(
    sides: Sequence[SideOutput], name: str, *, binary: bool
) -> tuple[SideOutput, ...]:
    """Return the outputs of paired files, whose lines are to be numbered. Raises UsageError."""
    for side in sides:
        check_numbered(side.format.partition(".")[0])
    schema = numbered_schema(line_schema(binary=binary), name)
    return tuple(replace(side, schema=schema) for side in sides)


class Numbering:
    """Counts rows as they come, all of them in their order, and adds their places."""

    def __init__(self, target: Target) -> None:
        from dbshuf.sink.formats.record_batches import LineColumn

        assert target.schema is not None
        self._schema, self._next = target.schema, target.first_number
        self._lines = LineColumn(target)

    def of(self, window: Window) -> Window:
        """Return the rows of the next window with their places. Raises NotUtf8, LineTooLong."""
        import pyarrow as pa

        batch = self._lines.batch(window) if window.is_lines else window.batch
        places = np.arange(self._next, self._next + window.rows, dtype=np.int64)
        self._next += window.rows
        columns = [*batch.columns, arrow_numbers(places)]
        batch = pa.RecordBatch.from_arrays(columns, schema=self._schema)
        placed = Window.of_rows(batch, window.keys, window.prefixes)
        return replace(placed, unnumbered=window)


def numbered(windows: Iterator[Window], target: Target) -> Iterator[Window]:
    """Yield windows as a target has them: with their places, if it has a column for them.

    Paired files have it each in its own output, see paired.py.
    """
    is_as_it_is = target.number is None or target.sides
    return windows if is_as_it_is else map(Numbering(target).of, windows)
