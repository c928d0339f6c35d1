"""Moments of 96 bits in Parquet, INT96: what is beyond nanoseconds of 64 bits is noticed.

Spark, Hive and Impala write them. pyarrow (26.0.1) makes nanoseconds since 1970 of them, and
others without a word where those do not reach: of 0001-01-01 it makes 2084-12-18. So seconds,
which reach all of them, are read beside.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dbshuf.base.nested_types import entries_of
from dbshuf.base.row_batch import I64
from dbshuf.errors import InputUnreadable

_SECOND_NS = 1_000_000_000


class WideTimes:
    """Columns that hold such moments, read a second time."""

    def __init__(
        self, seconds: Iterator[pa.RecordBatch], names: Sequence[str], source: str
    ) -> None:
        """Take batches of columns, called `names`, with moments in seconds; `source` has them."""
        self._seconds, self._names, self._source = seconds, names, source
        self._held: pa.Table | None = None

    def check(self, batch: pa.RecordBatch, row: int) -> None:
        """Raise InputUnreadable for a moment of the next rows that is another one in seconds.

        batch  the columns, and others; `row`, the number of its first row
        """
        if not len(batch):
            return
        seconds = self._next(len(batch))
        for place, name in enumerate(self._names):
            column = batch.column(name)
            pairs = zip(_moments(column), _moments(seconds.column(place)), strict=True)
            for found, wanted in pairs:
                numbers, valid = _numbers(found)
                wrong = np.flatnonzero((numbers // _SECOND_NS != _numbers(wanted)[0]) & valid)
                if len(wrong):
                    is_row = not pa.types.is_nested(column.type)
                    raise self._beyond(name, row + int(wrong[0]) if is_row else row, is_row=is_row)

    def _next(self, rows: int) -> pa.RecordBatch:
        held = [] if self._held is None else self._held.to_batches()
        count = sum(map(len, held))
        while count < rows and (more := next(self._seconds, None)) is not None:
            held.append(more)
            count += len(more)
        self._held = pa.Table.from_batches(held).slice(rows)
        whole = held[0] if len(held) == 1 else pa.concat_batches(held)
        return whole.slice(0, rows)

    def _beyond(self, name: str, row: int, *, is_row: bool) -> InputUnreadable:
        return InputUnreadable(
            f"`{self._source}` {'at' if is_row else 'near'} row {row}: column `{name}` has a moment"
            " before 1677-09-22 or after 2262-04-11, which nanoseconds do not reach, and moments"
            " of 96 bits (INT96) are read as these",
            hint="write the file again with another type: DuckDB reads and writes microseconds,"
            " and Spark with spark.sql.parquet.outputTimestampType=TIMESTAMP_MICROS",
        )


def _moments(array: pa.Array) -> Iterator[pa.Array]:
    """Yield the timestamps within an array, without what lies below a null."""
    kind, types = array.type, pa.types
    if types.is_timestamp(kind):
        yield array
    elif types.is_struct(kind):
        for part in array.flatten():
            yield from _moments(part)
    elif types.is_map(kind):
        yield from _moments(entries_of(array))
    elif types.is_nested(kind):
        yield from _moments(array.flatten())


def _numbers(moments: pa.Array) -> tuple[I64, npt.NDArray[np.bool_]]:
    """Return timestamps as int64, and which of them are there."""
    valid = moments.is_valid().to_numpy(zero_copy_only=False)
    return moments.view(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False), valid
