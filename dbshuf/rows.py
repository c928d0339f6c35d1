"""Typed rows with their ids: what tables and SQL give, beside the lines of `source/batch.py`."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dbshuf.key import U64

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """Some rows, in any order.

    batch  pyarrow RecordBatch, shape (rows,); plain types: no dictionaries, no views
    ids    uint64, shape (rows,): the row ids of DESIGN section 3
    """

    batch: pa.RecordBatch
    ids: U64


def row_bytes(batch: pa.RecordBatch) -> I64:
    """Return the bytes of every row: int64, shape (rows,); a pure function of its values.

    Values of fixed width count that width (a bool 1, a null 0 or its width), strings
    and binary their length, lists and structs what is in them.
    """
    sizes = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        sizes += _value_bytes(column)
    return sizes


def _value_bytes(array: pa.Array) -> I64:
    kind: Any = array.type
    if isinstance(array, pa.ExtensionArray):
        return _value_bytes(array.storage)
    if pa.types.is_null(kind):
        return np.zeros(len(array), np.int64)
    if _is_var_binary(kind):
        lengths = pc.binary_length(array)
        return _numbers(lengths if not array.null_count else pc.fill_null(lengths, 0))
    if pa.types.is_struct(kind):
        sizes = np.zeros(len(array), np.int64)
        for field in array.flatten():
            sizes += _value_bytes(field)
        return sizes
    if _is_list(kind):
        lists = _as_lists(array)
        lengths = _numbers(pc.fill_null(pc.list_value_length(lists), 0))
        return _of_lists(_value_bytes(lists.flatten()), lengths)
    width = 1 if pa.types.is_boolean(kind) else kind.bit_width // 8
    return np.full(len(array), width, np.int64)


def _is_var_binary(kind: Any) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_large_binary(kind)
    )


def _is_list(kind: Any) -> bool:
    return bool(
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
        or pa.types.is_map(kind)
    )


def _as_lists(array: pa.Array) -> pa.Array:
    """A map as the list of its entries; other lists as they are."""
    if not pa.types.is_map(array.type):
        return array
    entry = pa.struct([array.type.key_field, array.type.item_field])
    return array.cast(pa.list_(entry))


def _of_lists(children: I64, lengths: I64) -> I64:
    """Sum the sizes of children over lists that take them one after the other."""
    ends = np.concatenate([[0], np.cumsum(lengths)])
    sums = np.concatenate([[0], np.cumsum(children)])
    sizes: I64 = np.diff(sums[ends])
    return sizes


def _numbers(array: pa.Array) -> I64:
    return np.asarray(array.to_numpy(zero_copy_only=False), np.int64)
