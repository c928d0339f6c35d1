"""Typed rows with their ids: what tables and SQL give, beside the lines of `line_batch.py`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dbshuf.base.key import U64
from dbshuf.base.nested_types import entries_of, is_text, list_bounds, text_bounds

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class RowBatch:
    """Some rows, in any order.

    batch     pyarrow RecordBatch, shape (rows,); plain types: no dictionaries, no views
    ids       uint64, shape (rows,): the row ids of DESIGN section 3
    read      ranges of ids [begin, end) of the rows of the inputs that these were made of, where
              that is not just their own ids; None: nobody knows
    prefixes  uint64, shape (rows,), as `LineBatch.prefixes`
    """

    batch: pa.RecordBatch
    ids: U64
    read: tuple[tuple[int, int], ...] | None = None
    prefixes: U64 | None = None

    @property
    def spans(self) -> tuple[tuple[int, int], ...] | None:
        """As `LineBatch.spans`; None where nobody knows."""
        return self.read

    @cached_property
    def sizes(self) -> I64:
        """Bytes of every row, as `row_bytes` counts them."""
        return row_bytes(self.batch)

    def cut(self, most_bytes: int) -> "Iterator[RowBatch]":
        """Yield the rows again, at most so many bytes but at least one row at a time."""
        if int(self.sizes.sum()) <= most_bytes:
            if len(self.ids):
                yield self
            return
        ends = np.cumsum(self.sizes)
        begin, before = 0, 0
        while begin < len(self.ids):
            fitting = int(np.searchsorted(ends, before + most_bytes, "right"))
            end = max(fitting, begin + 1)
            yield self.slice(begin, end)
            begin, before = end, int(ends[end - 1])

    def slice(self, first: int, last: int) -> "RowBatch":
        """Return rows [first, last) of consecutive ones; nothing is copied."""
        ids = self.ids[first:last]
        read = None if self.read is None else ((int(ids[0]), int(ids[-1]) + 1),)
        prefixes = None if self.prefixes is None else self.prefixes[first:last]
        return RowBatch(self.batch.slice(first, last - first), ids, read, prefixes)


def arrow_numbers(values: npt.NDArray[np.integer[Any]]) -> pa.Array:
    """Return contiguous integers as an Arrow array, without a copy.

    `pa.array` of them looks for pandas and loads `numpy.ma`, 0.02 s, at its first call.
    """
    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])


def arrow_texts(values: Sequence[bytes], kind: Any) -> pa.Array:
    """Return a few values as an Arrow array of binary, or of string if they are UTF-8.

    `pa.array` of a list loads pandas, where there is one, at its first call.
    """
    offsets = np.cumsum([0, *map(len, values)], dtype=np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(values))]
    return pa.Array.from_buffers(kind, len(values), buffers)


def row_bytes(batch: pa.RecordBatch) -> I64:
    """Return the bytes of every row: int64, shape (rows,); a pure function of its values.

    Values of fixed width count that width (a bool 1, a null 0 or its width), strings
    and binary their length, lists and structs what is in them.
    """
    if not batch.num_columns:
        return np.zeros(batch.num_rows, np.int64)
    sizes = _value_bytes(batch.column(0))
    for column in batch.columns[1:]:
        sizes += _value_bytes(column)
    return sizes


def fixed_bytes(kind: Any) -> int | None:
    """Return the bytes of every value of a type; None if they differ."""
    if isinstance(kind, pa.BaseExtensionType):
        return fixed_bytes(kind.storage_type)
    try:
        return max(int(kind.bit_width) // 8, 1)
    except ValueError:  # no fixed width
        return 0 if pa.types.is_null(kind) else None


def _value_bytes(array: pa.Array) -> I64:
    """Return the bytes of every value, in an array of its own."""
    kind: Any = array.type
    if isinstance(array, pa.ExtensionArray):
        return _value_bytes(array.storage)
    if pa.types.is_null(kind):
        return np.zeros(len(array), np.int64)
    if is_text(kind):
        return _text_bytes(array)
    if pa.types.is_struct(kind):
        sizes = np.zeros(len(array), np.int64)
        for field in array.flatten():
            sizes += _value_bytes(field)
        return sizes
    if _is_list(kind):
        return _list_bytes(entries_of(array) if pa.types.is_map(kind) else array)
    width = 1 if pa.types.is_boolean(kind) else kind.bit_width // 8
    return np.full(len(array), width, np.int64)


def _list_bytes(lists: pa.Array) -> I64:
    """Return the bytes of every list: of values of one width by their number alone.

    For others 24 bytes are taken for each value meanwhile.
    """
    kind, bounds = lists.type.value_type, list_bounds(lists)
    width = None if pa.types.is_nested(kind) else fixed_bytes(kind)
    if width is None:
        sums = np.concatenate([[0], np.cumsum(_value_bytes(lists.flatten()))])
        of_lists: I64 = np.diff(sums[bounds])
        return of_lists
    return np.diff(bounds) * width


def _is_list(kind: Any) -> bool:
    return bool(
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
        or pa.types.is_map(kind)
    )


def _text_bytes(array: pa.Array) -> I64:
    """Return the bytes of every string or binary."""
    offsets = array.buffers()[1]
    if array.null_count or offsets is None:
        return _numbers(pc.fill_null(pc.binary_length(array), 0))
    ends = text_bounds(array)[1]
    sizes: I64 = np.subtract(ends[1:], ends[:-1], dtype=np.int64)
    return sizes


def _numbers(array: pa.Array) -> I64:
    return np.array(array.to_numpy(zero_copy_only=False), np.int64)
