"""Intervals on their way into a DuckDB store: it counts microseconds, and Arrow nanoseconds."""

import numpy as np
import pyarrow as pa

from dbshuf.errors import RowUnfit
from dbshuf.store.schema import UNSTORED_HINT

# Source: Arrow's columnar format, `MONTH_DAY_NANO`.
_PARTS = np.dtype([("months", np.int32), ("days", np.int32), ("nanoseconds", np.int64)])


def check_intervals(batch: pa.RecordBatch, name: str, first_row: int) -> None:
    """Raise RowUnfit for a value that DuckDB would cut to microseconds.

    name       of the input
    first_row  the number of the batch's first row in it
    """
    for field, column in zip(batch.schema, batch.columns, strict=True):
        if not pa.types.is_interval(field.type) or not len(column):
            continue
        parts = np.frombuffer(column.buffers()[1], _PARTS)[column.offset :][: len(column)]
        is_cut = (parts["nanoseconds"] % 1000 != 0) & column.is_valid().to_numpy(False)
        if is_cut.any():
            raise RowUnfit(
                f"row {first_row + int(is_cut.argmax()):,} of `{name}`: an interval in column"
                f" `{field.name}` has nanoseconds, which a DuckDB database would cut off",
                hint=UNSTORED_HINT,
            )
